// The update of weights and slots by an optimizer's rule, at once or lazily.
#pragma once

#include "optimizers.hpp"

namespace assay::ASSAY_LEVEL {

// What happens before the rule: the gradient becomes scale (g + l1 sign(w) + l2 w) or, where the penalties are added
// after clipping, scale g + l1 sign(w) + l2 w; and the weight w becomes decay w.
template <class T>
struct Penalty {
  T l1, l2, scale, decay;
  ASSAY_INLINE T add_to(T g, T w) const {
    T sign = (w > 0 ? T(1) : T(0)) - (w < 0 ? T(1) : T(0));
    return g + l1 * sign + l2 * w;
  }
  ASSAY_INLINED bool is_none() const { return l1 == 0 && l2 == 0 && scale == 1 && decay == 1; }
};

template <class T>
ASSAY_INLINE Penalty<T> weight_penalty(const Hyperparameters& h, double scale) {
  return {T(h.l1), T(h.l2), T(scale), T(1 - h.learning_rate * h.weight_decay)};
}

enum class Order { plain, penalised_then_scaled, scaled_then_penalised };

template <class T>
ASSAY_INLINE Penalty<T> bias_penalty(const Plan& plan, const Hyperparameters& h, double scale) {
  const bool penalised = plan.penalise_biases;
  return {penalised ? T(h.l1) : T(0), penalised ? T(h.l2) : T(0), T(scale), T(1)};
}

// Updates `count` weights w and their slots s and u by their gradients g.
template <class Rule, Order order, class T>
ASSAY_INLINE void apply_rule(const Rule& rule, const Penalty<T>& penalty, T* __restrict w, const T* __restrict g,
                             T* __restrict s, T* __restrict u, int64_t count) {
  constexpr bool plain = order == Order::plain, scaled_first = order == Order::scaled_then_penalised;
  T unused = 0;
  for (int64_t i = 0; i < count; i += LINE<T>)
    for (int j = 0; j < LINE<T>; ++j) {
      int64_t k = i + j;
      T gradient = plain          ? g[k]
                   : scaled_first ? penalty.add_to(penalty.scale * g[k], w[k])
                                  : penalty.scale * penalty.add_to(g[k], w[k]);
      T weight = plain ? w[k] : penalty.decay * w[k];
      if constexpr (Rule::slots == 0) w[k] = weight - rule.step(gradient, unused, unused);
      if constexpr (Rule::slots == 1) w[k] = weight - rule.step(gradient, s[k], unused);
      if constexpr (Rule::slots == 2) w[k] = weight - rule.step(gradient, s[k], u[k]);
    }
}

// Updates a trial's `count` elements from `first` on by their gradients g.
template <class Rule, class T>
ASSAY_INLINE void update_elements(const Rule& rule, const Penalty<T>& penalty, const Trial<T>& trial, int64_t first,
                                  const T* g, int64_t count, bool scaled_first = false) {
  T *s = trial.slots[0] ? trial.slots[0] + first : nullptr, *u = trial.slots[1] ? trial.slots[1] + first : nullptr;
  if (penalty.is_none())
    apply_rule<Rule, Order::plain>(rule, penalty, trial.w + first, g, s, u, count);
  else if (scaled_first)
    apply_rule<Rule, Order::scaled_then_penalised>(rule, penalty, trial.w + first, g, s, u, count);
  else
    apply_rule<Rule, Order::penalised_then_scaled>(rule, penalty, trial.w + first, g, s, u, count);
}

// The same for a rule of the later optimizers, with any number of slots: `apply_rule` with one more parameter would
// fuse other products of the first optimizers (see `with_optimizer`).
template <class Rule, Order order, class T, class... Slots>
ASSAY_INLINE void apply_later_rule(const Rule& rule, const Penalty<T>& penalty, T* __restrict w, const T* __restrict g,
                                   int64_t count, Slots* __restrict... slots) {
  for (int64_t i = 0; i < count; i += LINE<T>)
    for (int j = 0; j < LINE<T>; ++j) {
      int64_t k = i + j;
      T gradient = order == Order::plain                   ? g[k]
                   : order == Order::scaled_then_penalised ? penalty.add_to(penalty.scale * g[k], w[k])
                                                           : penalty.scale * penalty.add_to(g[k], w[k]);
      T weight = order == Order::plain ? w[k] : penalty.decay * w[k];
      w[k] = weight - rule.step(gradient, slots[k]...);
    }
}

template <class Rule, class T>
requires(Rule::later)
    ASSAY_INLINE void update_elements(const Rule& rule, const Penalty<T>& penalty, const Trial<T>& trial, int64_t first,
                                      const T* g, int64_t count, bool scaled_first = false) {
  auto apply = [&](auto... slots) ASSAY_INLINED {
    T* w = trial.w + first;
    if (penalty.is_none())
      apply_later_rule<Rule, Order::plain>(rule, penalty, w, g, count, slots...);
    else if (scaled_first)
      apply_later_rule<Rule, Order::scaled_then_penalised>(rule, penalty, w, g, count, slots...);
    else
      apply_later_rule<Rule, Order::penalised_then_scaled>(rule, penalty, w, g, count, slots...);
  };
  T* const* slots = trial.slots;
  if constexpr (Rule::slots == 1) apply(slots[0] + first);
  if constexpr (Rule::slots == 2) apply(slots[0] + first, slots[1] + first);
  if constexpr (Rule::slots == 4) apply(slots[0] + first, slots[1] + first, slots[2] + first, slots[3] + first);
}

// Updates a trial's elements from ... to by the gradient of all elements.
template <class T>
void update_range(const Plan& plan, const Trial<T>& trial, const T* g, const Hyperparameters& h, double scale,
                  int64_t from, int64_t to) {
  const bool scaled_first = scale != 1 && !plan.clips_objective && (h.l1 != 0 || h.l2 != 0);
  with_optimizer<T>(plan.optimizer, h, [&](const auto& rule) {
    auto run = [&](int64_t first, int64_t end, const Penalty<T>& penalty) {
      if (first < end) update_elements(rule, penalty, trial, first, g + first, end - first, scaled_first);
    };
    run(from, to < plan.weights ? to : plan.weights, weight_penalty<T>(h, scale));
    run(from > plan.weights ? from : plan.weights, to, bias_penalty<T>(plan, h, scale));
  });
}

// Applies the pending updates of the weights of one pair of inputs. Under a lazy rule the weights of inputs that are 0
// in a whole batch do not change, and their slots are multiplied by `idle_decay`. Such updates are only counted, and
// applied here, one multiplication for each so that the bits are those of immediate updates, once the slots are needed.
template <class Rule, class T>
ASSAY_INLINE void catch_up(const Rule& rule, const Layer& layer, int features, const Trial<T>& trial, int pair) {
  const int updates = trial.pending_updates[pair];
  if (updates == 0) return;
  trial.pending_updates[pair] = 0;
  if constexpr (Rule::lazy && Rule::slots > 0) {
    const T decay = rule.idle_decay();
    if (decay == 1) return;
    const int rows = 2 * pair + 1 < features ? 2 : 1;
    const int64_t from = layer.weight + int64_t{2} * pair * layer.stride, count = rows * int64_t{layer.stride};
    for (int slot = 0; slot < Rule::slots; ++slot)
      for (int64_t i = from; i < from + count; i += LINE<T>) {
        Vector<T> state[LINE<T> / LANES<T>];
        T total = 0;
        for (int v = 0; v < LINE<T> / LANES<T>; ++v) {
          state[v] = as_vector(trial.slots[slot] + i + v * LANES<T>);
          total += sum<T>(state[v]);
        }
        if (total == 0) continue;  // all are 0: they are means of squares, so none is negative
        for (int n = 0; n < updates; ++n)
          for (int v = 0; v < LINE<T> / LANES<T>; ++v) state[v] *= decay;
        for (int v = 0; v < LINE<T> / LANES<T>; ++v) as_vector(trial.slots[slot] + i + v * LANES<T>) = state[v];
      }
  }
}

template <class T>
void flush_lazy(const Plan& plan, const Trial<T>& trial, const Hyperparameters& h, int pairs) {
  with_optimizer<T>(plan.optimizer, h, [&](const auto& rule) {
    for (int k = 0; k < pairs; ++k) catch_up(rule, plan.layer[0], plan.layer[0].inputs, trial, k);
  });
}

}  // namespace assay::ASSAY_LEVEL
