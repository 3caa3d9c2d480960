// The kernel for one instruction set: CMake compiles this file once for each, with ASSAY_LEVEL as its name. Nothing in
// here may call inline functions of the standard library: the linker could take this copy of them for machines that
// lack these instructions.
#include "plan.hpp"

#include "iteration.hpp"

namespace assay::ASSAY_LEVEL {

template <class T>
constexpr Kernel<T> kernel{step<T>, part<T>, sum_parts<T>, squares<T>, update_range<T>, settle<T>, evaluate<T>, outputs<T>};

extern const Kernels kernels;  // else a constant would be this file's own
const Kernels kernels{kernel<float>, kernel<double>};

}  // namespace assay::ASSAY_LEVEL
