// The Python module: the names, the instruction levels, and the classes Pool, Examples and Cohort for float and double.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cmath>
#include <optional>
#include <string>
#include <utility>

#include "cohort.hpp"

namespace nb = nanobind;

namespace assay {

// --- the instruction levels, each a compilation of kernel.cpp; the best first ---

#define ASSAY_DECLARE(level)      \
  namespace level {               \
  extern const Kernels kernels;   \
  }                               \
  namespace level##_later {       \
    extern const Kernels kernels; \
  }
#define ASSAY_KERNELS(level) &level::kernels, &level##_later::kernels
#ifdef ASSAY_X86
ASSAY_DECLARE(avx512)
ASSAY_DECLARE(avx2)
#endif
#ifdef ASSAY_EMULATE_WIDE
ASSAY_DECLARE(wide)
#endif
ASSAY_DECLARE(baseline)

struct Level {
  const char* name;
  const Kernels *kernels, *later;
};

static std::vector<Level> levels() {
  std::vector<Level> available;
#ifdef ASSAY_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw"))
    available.push_back({"avx512", ASSAY_KERNELS(avx512)});
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    available.push_back({"avx2", ASSAY_KERNELS(avx2)});
#endif
  available.push_back({"baseline", ASSAY_KERNELS(baseline)});
#ifdef ASSAY_EMULATE_WIDE  // last, so that it runs only if it is requested by name
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    available.push_back({"wide", ASSAY_KERNELS(wide)});
#endif
  return available;
}

static std::vector<std::string> level_names() {
  std::vector<std::string> names;
  for (auto& level : levels()) names.push_back(level.name);
  return names;
}

template <class T>
static const Kernel<T>& kernel_of(const std::string& name, Optimizer optimizer) {
  for (auto& level : levels())
    if (name == level.name) {
      const Kernels& kernels = is_later(optimizer) ? *level.later : *level.kernels;
      if constexpr (sizeof(T) == 4)
        return kernels.float32;
      else
        return kernels.float64;
    }
  throw nb::value_error("this instruction level is not supported on this machine");
}

// --- the names ---

#define ASSAY_NAME(name) #name,
static const char* const activation_names[] = {ASSAY_ACTIVATIONS(ASSAY_NAME)};
static const char* const output_names[] = {ASSAY_OUTPUTS(ASSAY_NAME)};
static const char* const loss_names[] = {ASSAY_LOSSES(ASSAY_NAME)};
static const char* const optimizer_names[] = {ASSAY_OPTIMIZERS(ASSAY_NAME)};

// The slots, settings and factors of an optimizer; these in the order in which optimizers.hpp reads them.
struct OptimizerSpec {
  int slots;
  std::vector<std::string> settings, factors;
};
static OptimizerSpec optimizer_spec(Optimizer optimizer) {
  switch (optimizer) {
    case Optimizer::descent: return {0, {}, {}};
    case Optimizer::momentum: return {1, {"momentum"}, {}};
    case Optimizer::nesterov: return {1, {"momentum"}, {}};
    case Optimizer::adagrad: return {1, {"epsilon"}, {}};
    case Optimizer::rmsprop: return {1, {"decay", "epsilon"}, {}};
    case Optimizer::adadelta: return {2, {"decay", "epsilon"}, {}};
    case Optimizer::adam: return {2, {"beta1", "beta2", "epsilon"}, {"correction1", "correction2"}};
    case Optimizer::adamw: return {2, {"beta1", "beta2", "epsilon"}, {"correction1", "correction2"}};
    case Optimizer::nadam: return {2, {"beta1", "beta2", "epsilon"}, {"correction2", "own", "next"}};
    case Optimizer::radam: return {2, {"beta1", "beta2", "epsilon"}, {"correction1", "rectified", "plain"}};
    case Optimizer::lion: return {1, {"beta1", "beta2"}, {}};
    case Optimizer::adan:
      return {4, {"beta1", "beta2", "beta3", "epsilon"}, {"correction1", "correction2", "correction3", "has_before"}};
  }
  throw nb::value_error("no such optimizer");
}

template <size_t N>
static nb::list name_list(const char* const (&names)[N]) {
  nb::list result;
  for (auto* name : names) result.append(name);
  return result;
}

template <size_t N>
static int index_of(const char* const (&names)[N], const std::string& name) {
  for (size_t i = 0; i < N; ++i)
    if (name == names[i]) return static_cast<int>(i);
  throw nb::value_error(("the kernel has no " + name).c_str());
}

// --- the network ---

using LayerSpec = std::tuple<int, int, std::string, double>;  // inputs, units, activation, dropout

template <class T>
static Plan make_plan(const std::vector<LayerSpec>& layers, const std::string& output, const std::string& loss,
                      const std::string& optimizer, double epsilon, bool penalise_biases, bool clips_objective) {
  if (layers.empty() || layers.size() > MAX_LAYERS) throw nb::value_error("1 to 65 layers");
  Plan plan{};
  plan.layers = static_cast<int>(layers.size());
  plan.output = static_cast<Output>(index_of(output_names, output));
  plan.loss = static_cast<Loss>(index_of(loss_names, loss));
  plan.optimizer = static_cast<Optimizer>(index_of(optimizer_names, optimizer));
  plan.slots = optimizer_spec(plan.optimizer).slots;
  plan.epsilon = epsilon;
  plan.penalise_biases = penalise_biases;
  plan.clips_objective = clips_objective;
  int64_t offset = 0;
  for (int l = 0; l < plan.layers; ++l) {
    auto& [inputs, units, activation, dropout] = layers[l];
    if (inputs < 1 || units < 1 || (l > 0 && inputs != plan.layer[l - 1].units) || !(dropout >= 0 && dropout < 1))
      throw nb::value_error("the sizes of the layers do not match");
    const auto function = static_cast<Activation>(index_of(activation_names, activation));
    plan.layer[l] = {inputs, units, padded<T>(units), offset, 0, function, dropout};
    offset += int64_t{inputs} * padded<T>(units);
  }
  plan.weights = offset;
  for (int l = 0; l < plan.layers; ++l) {
    plan.layer[l].bias = offset;
    offset += plan.layer[l].stride;
  }
  plan.size = offset;
  plan.classes = plan.last().units;
  return plan;
}

template <class Element, size_t dimensions>
using Array = nb::ndarray<const Element, nb::numpy, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

template <class Element>
static auto new_array(std::vector<size_t> shape, Element fill) {
  size_t count = 1;
  for (size_t n : shape) count *= n;
  auto* data = new Element[count ? count : 1];
  std::fill(data, data + count, fill);
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<Element*>(p); });
  return nb::ndarray<nb::numpy, Element>(data, shape.size(), shape.data(), owner);
}

// A callback that runs Python's signal handlers while the kernel works. If one of them raises, the work is cancelled.
template <class OnError>
static std::function<void()> check_signals(bool& raised, OnError on_error) {
  return [&raised, on_error] {
    if (raised) return;
    nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) {
      raised = true;
      on_error();
    }
  };
}

static std::vector<TrialConstants> make_constants(const Plan& plan, const Array<double, 2>& constants, size_t trials) {
  const size_t settings = optimizer_spec(plan.optimizer).settings.size(), width = settings + 4;
  if (constants.shape(0) != trials || constants.shape(1) != width)
    throw nb::value_error("constants: (T, settings + 4)");
  std::vector<TrialConstants> result(trials);
  for (size_t n = 0; n < trials; ++n) {
    const double* row = constants.data() + n * width;
    std::copy(row, row + settings, result[n].settings);
    result[n].l1 = row[settings];
    result[n].l2 = row[settings + 1];
    result[n].weight_decay = row[settings + 2];
    result[n].clip_norm = row[settings + 3];
  }
  return result;
}

// The batches of a call as the kernel reads them. Raises if rows lie outside the examples, or shapes do not match.
static Batches make_batches(int64_t first, const Array<int32_t, 1>& sizes, const std::optional<Array<int32_t, 3>>& rows,
                            const std::optional<Array<int32_t, 2>>& starts, int64_t examples, size_t trials,
                            int largest_batch) {
  const size_t k = sizes.shape(0);
  Batches batches{first, static_cast<int64_t>(k), sizes.data(), nullptr, nullptr, 0, 0};
  bool fits = true;
  int64_t largest = examples;
  if (rows) {
    batches.rows = rows->data();
    batches.sets = rows->shape(0);
    batches.width = largest = rows->shape(2);
    fits = rows->shape(1) == k && (rows->shape(0) == 1 || rows->shape(0) == trials);
    for (size_t i = 0; fits && i < rows->size(); ++i) fits = rows->data()[i] >= 0 && rows->data()[i] < examples;
  } else if (starts) {
    batches.starts = starts->data();
    batches.sets = starts->shape(0);
    fits = starts->shape(1) == k && (starts->shape(0) == 1 || starts->shape(0) == trials);
    for (size_t i = 0; fits && i < starts->size(); ++i)
      fits = starts->data()[i] >= 0 && starts->data()[i] + int64_t{sizes.data()[i % k]} <= examples;
  }
  for (size_t i = 0; fits && i < k; ++i)
    fits = sizes.data()[i] >= 1 && sizes.data()[i] <= largest && sizes.data()[i] <= largest_batch;
  if (!fits) throw nb::value_error("batches that do not fit the examples or the trials");
  return batches;
}

template <class T>
static nb::object advance(Cohort<T>& cohort, int64_t first, Array<int32_t, 1> sizes,
                          std::optional<Array<int32_t, 3>> rows, std::optional<Array<int32_t, 2>> starts,
                          Array<bool, 1> alive, Array<double, 2> constants, Array<double, 3> step_values) {
  const size_t trials = cohort.trials(), k = sizes.shape(0);
  const size_t width = 1 + optimizer_spec(cohort.plan().optimizer).factors.size();
  if (alive.shape(0) != trials || step_values.shape(0) != trials || step_values.shape(1) != k ||
      step_values.shape(2) != width)
    throw nb::value_error("alive: (T,), step_values: (T, k, 1 + factors)");
  const Batches batches =
      make_batches(first, sizes, rows, starts, cohort.train().view.examples, trials, cohort.largest_batch());
  auto trial_constants = make_constants(cohort.plan(), constants, trials);
  auto losses = new_array<double>({trials, k}, std::nan(""));
  auto diverged_at = new_array<int64_t>({trials}, 0);
  bool raised = false, completed;
  {
    nb::gil_scoped_release release;
    const Call call{batches,
                    alive.data(),
                    trial_constants.data(),
                    step_values.data(),
                    static_cast<int>(width),
                    static_cast<double*>(losses.data()),
                    static_cast<int64_t*>(diverged_at.data())};
    completed = cohort.advance(call, check_signals(raised, [&] { cohort.cancel(); }));
  }
  if (raised) throw nb::python_error();
  return completed ? nb::object(nb::make_tuple(losses, diverged_at)) : nb::none();
}

template <class T>
static void check_split(const Plan& plan, const Examples<T>& split) {
  if (split.view.features != plan.layer[0].inputs) throw nb::value_error("inputs that do not fit the first layer");
  for (int64_t i = 0; i < split.view.examples; ++i)
    if (split.view.labels[i] < 0 || split.view.labels[i] >= plan.classes)
      throw nb::value_error("a label outside the classes");
}

// Raises if a network that is trained on targets cannot be: `target_loss` is of one output as it is.
template <class T>
static void check_targets(const Plan& plan, const Examples<T>& train) {
  if (!train.view.targets) return;
  if (plan.classes != 1 || plan.output != Output::identity || (plan.loss != Loss::mse && plan.loss != Loss::quadratic))
    throw nb::value_error("targets need one output, identity, and the loss mse or quadratic");
}

template <class T>
static nb::tuple evaluate(Cohort<T>& cohort, Examples<T>& split) {
  check_split(cohort.plan(), split);
  if (!split.view.targets != !cohort.train().view.targets)
    throw nb::value_error("a split with labels, and one with targets");
  const size_t trials = cohort.trials();
  auto loss = new_array<double>({trials}, 0.0);
  auto correct = new_array<int64_t>({trials}, 0);
  bool raised = false;
  Flag stop;
  {
    nb::gil_scoped_release release;
    cohort.evaluate(split, static_cast<double*>(loss.data()), static_cast<int64_t*>(correct.data()),
                    check_signals(raised, [&] { stop.set(true); }), stop);
  }
  if (raised) throw nb::python_error();
  return nb::make_tuple(loss, correct);
}

template <class T>
static auto outputs_of(Cohort<T>& cohort, Examples<T>& split) {
  check_split(cohort.plan(), split);
  auto result = new_array<T>({static_cast<size_t>(cohort.trials()), static_cast<size_t>(split.view.examples),
                              static_cast<size_t>(cohort.plan().classes)},
                             T(0));
  bool raised = false;
  Flag stop;
  {
    nb::gil_scoped_release release;
    cohort.outputs(split, static_cast<T*>(result.data()), check_signals(raised, [&] { stop.set(true); }), stop);
  }
  if (raised) throw nb::python_error();
  return result;
}

template <class T>
static void make_examples(Examples<T>* self, Array<T, 2> x, std::optional<Array<int32_t, 1>> labels, Pool& pool,
                          std::optional<Array<T, 1>> targets) {
  if (labels.has_value() == targets.has_value()) throw nb::value_error("either labels or targets");
  const size_t count = labels ? labels->shape(0) : targets->shape(0);
  if (x.shape(0) != count || x.shape(1) < 1 || x.shape(1) > (size_t{1} << 31) - 1)
    throw nb::value_error("as many labels or targets as examples");
  for (size_t i = 0; targets && i < count; ++i)
    if (!std::isfinite(targets->data()[i])) throw nb::value_error("a target that is not finite");
  {
    nb::gil_scoped_release release;
    new (self) Examples<T>(x.data(), labels ? labels->data() : nullptr, targets ? targets->data() : nullptr,
                           static_cast<int64_t>(count), static_cast<int>(x.shape(1)), pool);
  }
  // Dense inputs are read where they are. Not nb::keep_alive: it would also keep the array of sparse inputs, which are
  // copied, and the caller's array instead of the one that nanobind may have converted it to.
  if (self->view.dense) self->inputs_owner = std::make_shared<Array<T, 2>>(x);
}

template <class T>
static void bind_examples(nb::module_& m, const char* name) {
  nb::class_<Examples<T>>(m, name)
      // Labels and targets are taken as they are: converted, targets would be whole numbers and pass for labels.
      .def("__init__", &make_examples<T>, nb::arg("x"), nb::arg("labels").noconvert().none(), nb::arg("pool"),
           nb::arg("targets").noconvert().none() = nb::none())
      .def_prop_ro("sparse", [](const Examples<T>& e) { return e.view.dense == nullptr; })
      .def_prop_ro("count", [](const Examples<T>& e) { return e.view.examples; })
      .def_ro("density", &Examples<T>::density, "The fraction of inputs that differ from their example's background.")
      .def_prop_ro("bytes", &Examples<T>::bytes);
}

template <class T>
static void make_cohort(Cohort<T>* self, const std::vector<LayerSpec>& layers, const std::string& output,
                        const std::string& loss, const std::string& optimizer, double epsilon, bool penalise_biases,
                        bool clips_objective, Array<uint64_t, 2> dropout_keys, int largest_batch,
                        std::shared_ptr<Examples<T>> train, std::shared_ptr<Pool> pool, const std::string& level) {
  const Plan plan = make_plan<T>(layers, output, loss, optimizer, epsilon, penalise_biases, clips_objective);
  check_split(plan, *train);
  check_targets(plan, *train);
  if (dropout_keys.shape(1) != layers.size()) throw nb::value_error("dropout_keys: (T, layers)");
  const int trials = static_cast<int>(dropout_keys.shape(0));
  new (self)
      Cohort<T>(plan, kernel_of<T>(level, plan.optimizer), trials, largest_batch, std::move(train), std::move(pool));
  for (int n = 0; n < trials; ++n)
    std::copy_n(dropout_keys.data() + n * layers.size(), layers.size(), self->trial(n).dropout_key);
}

// Where each layer's weights and biases begin in a trial's state, and the length of a row.
template <class T>
static nb::list layout(const Cohort<T>& cohort) {
  nb::list result;
  for (int l = 0; l < cohort.plan().layers; ++l) {
    auto& layer = cohort.plan().layer[l];
    result.append(nb::make_tuple(layer.weight, layer.bias, layer.stride));
  }
  return result;
}

// The weights and the slots of a trial, (1 + slots, size): a view that keeps the cohort alive.
template <class T>
static auto state_of(nb::handle self, int trial) {
  auto& cohort = nb::cast<Cohort<T>&>(self);
  if (trial < 0 || trial >= cohort.trials()) throw nb::index_error();
  return nb::ndarray<nb::numpy, T>(
      cohort.state(trial), {static_cast<size_t>(1 + cohort.plan().slots), static_cast<size_t>(cohort.plan().size)},
      self);
}

template <class T>
static void bind_cohort(nb::module_& m, const char* name) {
  nb::class_<Cohort<T>>(m, name)
      .def("__init__", &make_cohort<T>)
      .def_prop_ro("layout", &layout<T>)
      .def("state", &state_of<T>)
      .def("advance", &advance<T>, nb::arg("first"), nb::arg("sizes"), nb::arg("rows").none(), nb::arg("starts").none(),
           nb::arg("alive"), nb::arg("constants"), nb::arg("step_values"))
      .def("cancel", &Cohort<T>::cancel)
      .def("evaluate", &evaluate<T>)
      .def("outputs", &outputs_of<T>);
}

}  // namespace assay

NB_MODULE(_native, m) {
  using namespace assay;
  m.attr("activations") = name_list(activation_names);
  m.attr("outputs") = name_list(output_names);
  m.attr("losses") = name_list(loss_names);
  nb::dict specs;
  for (size_t i = 0; i < std::size(optimizer_names); ++i) {
    auto spec = optimizer_spec(static_cast<Optimizer>(i));
    specs[optimizer_names[i]] = nb::make_tuple(spec.slots, spec.settings, spec.factors);
  }
  m.attr("optimizers") = specs;
  m.def("levels", &level_names, "The instruction levels that this machine supports, the best first.");
  m.def("usable_cores", &usable_cores);
  m.def("part_count", &part_count, nb::arg("size"), nb::arg("batch"), "How many gradients a batch of that size has.");
  m.attr("block") = BLOCK;
  m.attr("alignment") = ALIGNMENT;
  nb::class_<Pool>(m, "Pool").def(nb::init<int>()).def_prop_ro("size", &Pool::size);
  bind_examples<float>(m, "Examples32");
  bind_examples<double>(m, "Examples64");
  bind_cohort<float>(m, "Cohort32");
  bind_cohort<double>(m, "Cohort64");
}
