// What Python sees: the names, the levels, and the classes Examples and Cohort for float and double.
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

// --- the instruction sets, each a compilation of kernel.cpp; the widest comes first ---

#define ASSAY_DECLARE(level) \
  namespace level {          \
  extern const Kernels kernels; \
  }
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
  const Kernels* kernels;
};

static std::vector<Level> levels() {
  std::vector<Level> found;
#ifdef ASSAY_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw"))
    found.push_back({"avx512", &avx512::kernels});
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back({"avx2", &avx2::kernels});
#endif
  found.push_back({"baseline", &baseline::kernels});
#ifdef ASSAY_EMULATE_WIDE  // the last, so that it runs only where it is asked for by name
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back({"wide", &wide::kernels});
#endif
  return found;
}

static std::vector<std::string> level_names() {
  std::vector<std::string> names;
  for (auto& level : levels()) names.push_back(level.name);
  return names;
}

template <class T>
static const Kernel<T>& kernel_of(const std::string& name) {
  for (auto& level : levels())
    if (name == level.name) {
      if constexpr (sizeof(T) == 4)
        return level.kernels->float32;
      else
        return level.kernels->float64;
    }
  throw nb::value_error("no such level on this machine");
}

// --- the names ---

#define ASSAY_NAME(name) #name,
static const char* const activations[] = {ASSAY_ACTIVATIONS(ASSAY_NAME)};
static const char* const outputs[] = {ASSAY_OUTPUTS(ASSAY_NAME)};
static const char* const losses[] = {ASSAY_LOSSES(ASSAY_NAME)};
static const char* const rules[] = {ASSAY_RULES(ASSAY_NAME)};

// The settings and the factors of each rule, in the order in which rules.hpp reads them.
struct RuleNames {
  int slots;
  std::vector<std::string> settings, factors;
};
static RuleNames rule_names(RuleName rule) {
  switch (rule) {
    case RuleName::descent: return {0, {}, {}};
    case RuleName::momentum: return {1, {"momentum"}, {}};
    case RuleName::nesterov: return {1, {"momentum"}, {}};
    case RuleName::adagrad: return {1, {"epsilon"}, {}};
    case RuleName::rmsprop: return {1, {"decay", "epsilon"}, {}};
    case RuleName::adadelta: return {2, {"decay", "epsilon"}, {}};
    case RuleName::adam: return {2, {"beta1", "beta2", "epsilon"}, {"correction1", "correction2"}};
    case RuleName::adamw: return {2, {"beta1", "beta2", "epsilon"}, {"correction1", "correction2"}};
  }
  throw nb::value_error("no such rule");
}

template <size_t N>
static nb::list listed(const char* const (&names)[N]) {
  nb::list found;
  for (auto* name : names) found.append(name);
  return found;
}

template <size_t N>
static int place_of(const char* const (&names)[N], const std::string& name) {
  for (size_t i = 0; i < N; ++i)
    if (name == names[i]) return static_cast<int>(i);
  throw nb::value_error(("the kernel has no " + name).c_str());
}

// --- the network ---

using LayerSpec = std::tuple<int, int, std::string, double>;  // inputs, units, activation, dropout

template <class T>
static Plan make_plan(const std::vector<LayerSpec>& layers, const std::string& output, const std::string& loss,
                      const std::string& rule, double epsilon, bool penalise_biases) {
  if (layers.empty() || layers.size() > MAX_LAYERS) throw nb::value_error("1 to 65 layers");
  Plan plan{};
  plan.layers = static_cast<int>(layers.size());
  plan.output = static_cast<Output>(place_of(outputs, output));
  plan.loss = static_cast<Loss>(place_of(losses, loss));
  plan.rule = static_cast<RuleName>(place_of(rules, rule));
  plan.slots = rule_names(plan.rule).slots;
  plan.epsilon = epsilon;
  plan.penalise_biases = penalise_biases;
  int64_t offset = 0;
  for (int l = 0; l < plan.layers; ++l) {
    auto& [inputs, units, activation, dropout] = layers[l];
    if (inputs < 1 || units < 1 || (l > 0 && inputs != plan.layer[l - 1].units) || !(dropout >= 0 && dropout < 1))
      throw nb::value_error("layers that do not fit together");
    plan.layer[l] = {inputs, units, padded<T>(units), offset, 0, static_cast<Activation>(place_of(activations, activation)), dropout};
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

// Lets Python's signal handlers run while the kernel works. What a handler raises breaks the work off.
template <class OnError>
static std::function<void()> signals(bool& raised, OnError on_error) {
  return [&raised, on_error] {
    if (raised) return;
    nb::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) {
      raised = true;
      on_error();
    }
  };
}

template <class T>
static std::vector<TrialNumbers> trial_numbers(const Plan& plan, const Array<double, 2>& constants, int trials) {
  const size_t settings = rule_names(plan.rule).settings.size(), width = settings + 4;
  if (constants.shape(0) != static_cast<size_t>(trials) || constants.shape(1) != width)
    throw nb::value_error("constants: (T, settings + 4)");
  std::vector<TrialNumbers> result(trials);
  for (int n = 0; n < trials; ++n) {
    const double* row = constants.data() + n * width;
    std::copy(row, row + settings, result[n].settings);
    result[n].l1 = row[settings];
    result[n].l2 = row[settings + 1];
    result[n].weight_decay = row[settings + 2];
    result[n].clip_norm = row[settings + 3];
  }
  return result;
}

template <class T>
static nb::object advance(Cohort<T>& cohort, const Examples<T>& train, int64_t first, Array<int32_t, 1> sizes,
                          std::optional<Array<int32_t, 3>> rows, std::optional<Array<int32_t, 2>> starts,
                          Array<bool, 1> alive, Array<double, 2> constants, Array<double, 3> courses) {
  const size_t trials = cohort.trials(), k = sizes.shape(0);
  const Plan& plan = cohort.plan();
  const size_t width = 1 + rule_names(plan.rule).factors.size();
  Batches batches{first, static_cast<int64_t>(k), sizes.data(), nullptr, nullptr, 0, 0};
  bool fits = alive.shape(0) == trials && courses.shape(0) == trials && courses.shape(1) == k && courses.shape(2) == width;
  const int64_t examples = train.view.examples;
  int64_t largest = examples;
  if (rows) {
    batches.rows = rows->data();
    batches.sets = rows->shape(0);
    batches.width = largest = rows->shape(2);
    fits = fits && rows->shape(1) == k && (rows->shape(0) == 1 || rows->shape(0) == trials);
    for (size_t i = 0; fits && i < rows->size(); ++i) fits = rows->data()[i] >= 0 && rows->data()[i] < examples;
  } else if (starts) {
    batches.starts = starts->data();
    batches.sets = starts->shape(0);
    fits = fits && starts->shape(1) == k && (starts->shape(0) == 1 || starts->shape(0) == trials);
    for (size_t i = 0; fits && i < starts->size(); ++i)
      fits = starts->data()[i] >= 0 && starts->data()[i] + int64_t{sizes.data()[i % k]} <= examples;
  }
  for (size_t i = 0; fits && i < k; ++i)
    fits = sizes.data()[i] >= 1 && sizes.data()[i] <= largest && sizes.data()[i] <= cohort.largest_batch();
  if (!fits) throw nb::value_error("batches, trials and numbers that do not fit together");

  auto numbers = trial_numbers<T>(plan, constants, static_cast<int>(trials));
  auto found = new_array<double>({trials, k}, std::nan(""));
  auto broken = new_array<int64_t>({trials}, 0);
  bool raised = false, done;
  {
    nb::gil_scoped_release release;
    done = cohort.advance(batches, alive.data(), numbers.data(), courses.data(), static_cast<int>(width),
                          static_cast<double*>(found.data()), static_cast<int64_t*>(broken.data()),
                          signals(raised, [&] { cohort.cancel(); }));
  }
  if (raised) throw nb::python_error();
  return done ? nb::object(nb::make_tuple(found, broken)) : nb::none();
}

template <class T>
static void check_labels(const Examples<T>& split, int classes) {
  for (int64_t i = 0; i < split.view.examples; ++i)
    if (split.view.labels[i] < 0 || split.view.labels[i] >= classes) throw nb::value_error("a label outside the classes");
}

template <class T>
static void check_split(const Cohort<T>& cohort, const Examples<T>& split) {
  if (split.view.features != cohort.plan().layer[0].inputs) throw nb::value_error("inputs that do not fit the first layer");
  check_labels(split, cohort.plan().classes);
}

template <class T>
static void bind(nb::module_& m, const char* examples_name, const char* cohort_name) {
  nb::class_<Examples<T>>(m, examples_name)
      .def("__init__",
           [](Examples<T>* self, Array<T, 2> x, Array<int32_t, 1> labels, Pool& pool) {
             if (x.shape(0) != labels.shape(0) || x.shape(1) < 1 || x.shape(1) > (size_t{1} << 31) - 1)
               throw nb::value_error("as many labels as examples");
             nb::gil_scoped_release release;
             new (self) Examples<T>(x.data(), labels.data(), x.shape(0), static_cast<int>(x.shape(1)), pool);
           })
      .def_prop_ro("sparse", [](const Examples<T>& e) { return e.view.dense == nullptr; })
      .def_prop_ro("count", [](const Examples<T>& e) { return e.view.examples; })
      .def_ro("share", &Examples<T>::share)
      .def_prop_ro("bytes", &Examples<T>::bytes);

  nb::class_<Cohort<T>>(m, cohort_name)
      .def("__init__",
           [](Cohort<T>* self, const std::vector<LayerSpec>& layers, const std::string& output, const std::string& loss,
              const std::string& rule, double epsilon, bool penalise_biases, Array<uint64_t, 2> dropout_keys,
              int largest_batch, std::shared_ptr<Examples<T>> train, std::shared_ptr<Pool> pool,
              const std::string& level) {
             Plan plan = make_plan<T>(layers, output, loss, rule, epsilon, penalise_biases);
             if (train->view.features != plan.layer[0].inputs || dropout_keys.shape(1) != layers.size())
               throw nb::value_error("inputs that do not fit the first layer");
             check_labels(*train, plan.classes);
             int trials = static_cast<int>(dropout_keys.shape(0));
             new (self) Cohort<T>(plan, kernel_of<T>(level), trials, largest_batch, std::move(train), std::move(pool));
             for (int n = 0; n < trials; ++n)
               std::copy_n(dropout_keys.data() + n * layers.size(), layers.size(), self->trial(n).dropout_key);
           })
      .def_prop_ro("layout",
                   [](const Cohort<T>& cohort) {  // where each layer's weights and biases begin, and a row's length
                     nb::list found;
                     for (int l = 0; l < cohort.plan().layers; ++l) {
                       auto& layer = cohort.plan().layer[l];
                       found.append(nb::make_tuple(layer.weight, layer.bias, layer.stride));
                     }
                     return found;
                   })
      .def("memory",
           [](nb::handle self, int trial) {  // (1 + slots, size): the weights and the slots of a trial, a view
             auto& cohort = nb::cast<Cohort<T>&>(self);
             if (trial < 0 || trial >= cohort.trials()) throw nb::index_error();
             return nb::ndarray<nb::numpy, T>(
                 cohort.vector(trial),
                 {static_cast<size_t>(1 + cohort.plan().slots), static_cast<size_t>(cohort.plan().size)}, self);
           })
      .def("advance", &advance<T>, nb::arg("train"), nb::arg("first"), nb::arg("sizes"), nb::arg("rows").none(),
           nb::arg("starts").none(), nb::arg("alive"), nb::arg("constants"), nb::arg("courses"))
      .def("cancel", &Cohort<T>::cancel)
      .def("evaluate",
           [](Cohort<T>& cohort, Examples<T>& split) {
             check_split(cohort, split);
             auto loss = new_array<double>({static_cast<size_t>(cohort.trials())}, 0.0);
             auto right = new_array<int64_t>({static_cast<size_t>(cohort.trials())}, 0);
             bool raised = false;
             std::atomic<bool> stop = false;
             {
               nb::gil_scoped_release release;
               cohort.evaluate(split, static_cast<double*>(loss.data()), static_cast<int64_t*>(right.data()),
                               signals(raised, [&] { stop = true; }), stop);
             }
             if (raised) throw nb::python_error();
             return nb::make_tuple(loss, right);
           })
      .def("outputs", [](Cohort<T>& cohort, Examples<T>& split) {
        check_split(cohort, split);
        auto result = new_array<T>({static_cast<size_t>(cohort.trials()), static_cast<size_t>(split.view.examples),
                                    static_cast<size_t>(cohort.plan().classes)},
                                   T(0));
        bool raised = false;
        std::atomic<bool> stop = false;
        {
          nb::gil_scoped_release release;
          cohort.outputs(split, static_cast<T*>(result.data()), signals(raised, [&] { stop = true; }), stop);
        }
        if (raised) throw nb::python_error();
        return result;
      });
}

}  // namespace assay

NB_MODULE(_native, m) {
  using namespace assay;
  m.attr("activations") = listed(activations);
  m.attr("outputs") = listed(outputs);
  m.attr("losses") = listed(losses);
  nb::dict all;
  for (size_t i = 0; i < std::size(rules); ++i) {
    auto names = rule_names(static_cast<RuleName>(i));
    all[rules[i]] = nb::make_tuple(names.slots, names.settings, names.factors);
  }
  m.attr("rules") = all;
  m.def("levels", &level_names, "The instruction sets that this machine has and the kernel is compiled for, best first.");
  m.def("usable_cores", &usable_cores);
  m.def("parts_of", &parts_of, nb::arg("size"), nb::arg("batch"), "How many gradients a batch of that size has.");
  m.attr("block") = BLOCK;
  m.attr("alignment") = ALIGNMENT;
  nb::class_<Pool>(m, "Pool").def(nb::init<int>()).def_prop_ro("size", &Pool::size);
  bind<float>(m, "Examples32", "Cohort32");
  bind<double>(m, "Examples64", "Cohort64");
}
