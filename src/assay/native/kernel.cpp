// The kernel for one instruction set: CMake compiles this file once for each, with ASSAY_LEVEL as its name.
//
// All code in here must be in the level's namespace. The linker keeps one copy of an inline function or a template that
// several object files define under one name, whichever comes first. If the kernel for AVX-512 defined, say,
// std::vector<int>::push_back, that copy could serve the whole module, which would then crash on a machine without
// AVX-512; and code shared between levels would make a level's bits depend on the order of linking. Hence the kernel
// calls no inline functions of the standard library, and functions that it shares with the rest of the module are
// always inlined. scripts/check_symbols.py checks the object files.
#include "iteration.hpp"

namespace assay::ASSAY_LEVEL {

template <class T>
constexpr Kernel<T> kernel{iterate<T>,    part_gradient<T>, sum_gradients<T>,    squared_norm<T>, update_range<T>,
                           flush_lazy<T>, evaluate<T>,      evaluate_targets<T>, outputs<T>};

extern const Kernels kernels;  // declared first: a constant would have internal linkage otherwise
const Kernels kernels{kernel<float>, kernel<double>};

}  // namespace assay::ASSAY_LEVEL
