// A cohort in training: its memory, and who computes what on which thread.
//
// As many trials as there are threads, or more: each trial is one thread's. Fewer, with large batches: the batch's parts
// go to the threads. In both cases a trial's sums are made in the same order, so the bits are the same.
#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <stdexcept>
#include <vector>

#include "inputs.hpp"
#include "memory.hpp"
#include "plan.hpp"
#include "sorting.hpp"
#include "threads.hpp"

namespace assay {

// The batches of k iterations, as assay/parts/batches.py makes them; S sets, one for all trials or one for each.
struct Batches {
  int64_t first, count;
  const int32_t* sizes;   // (k,)
  const int32_t* rows;    // (S, k, width) or null
  const int32_t* starts;  // (S, k) or null
  int64_t sets, width;

  Batch at(int64_t trial, int64_t i) const {
    int64_t set = sets ? trial % sets : 0, next = i + 1 < count ? i + 1 : -1;
    Batch batch{nullptr, 0, sizes[i], nullptr, -1};
    if (rows) {
      batch.rows = rows + (set * count + i) * width;
      if (next >= 0) batch.next_rows = rows + (set * count + next) * width;
    } else if (starts) {
      batch.start = starts[set * count + i];
      if (next >= 0) batch.next_start = starts[set * count + next];
    }
    return batch;
  }
};

struct TrialNumbers {
  double settings[MAX_SETTINGS], l1, l2, weight_decay, clip_norm;
};

template <class T>
class Cohort {
 public:
  Cohort(const Plan& plan, const Kernel<T>& kernel, int trials, int largest_batch, std::shared_ptr<Examples<T>> train,
         std::shared_ptr<Pool> pool)
      : plan_(plan), kernel_(kernel), train_(std::move(train)), pool_(std::move(pool)), trials_(trials), largest_batch_(largest_batch) {
    int64_t vectors = 1 + plan.slots;
    state_bytes = vectors * plan.size * static_cast<int64_t>(sizeof(T));
    state_ = zeros<char>(trials * state_bytes);
    backup_ = zeros<char>(trials * state_bytes);
    bool sparse = !train_->view.dense;
    paired_ = takes_pairs<T>(plan, sparse);
    if (paired_) {
      train_->pair_up(*pool_);
      idle_.resize(trials * train_->view.pairs());
    }
    for (int n = 0; n < trials; ++n) {
      T* base = vector(n);
      trials_[n] = {base,
                    {plan.slots > 0 ? base + plan.size : nullptr, plan.slots > 1 ? base + 2 * plan.size : nullptr},
                    paired_ ? idle_.data() + n * train_->view.pairs() : nullptr,
                    {}};
    }
    Bump count;
    Workspace<T> nowhere;
    place(nowhere, plan, train_->view.features, sparse, count);
    threads_ = pool_->size();
    split_ = trials < threads_ && parts_of(plan.size, largest_batch) > 1;
    int64_t parts = parts_of(plan.size, largest_batch);
    int workers = split_ ? threads_ : trials < threads_ ? trials : threads_;
    for (int worker = 0; worker < threads_; ++worker) {
      spaces_memory_.push_back(zeros<char>(count.used));
      Bump memory{spaces_memory_.back().get(), 0};
      spaces_.emplace_back();
      place(spaces_.back(), plan, train_->view.features, sparse, memory);
    }
    bool gradients = largest_batch > 0;
    for (int n = 0; gradients && n < (split_ ? 1 : workers); ++n)
      gradients_.push_back(zeros<T>(parts * plan.size));
    part_losses_.resize(parts);
  }

  T* vector(int64_t trial) { return reinterpret_cast<T*>(state_.get() + trial * state_bytes); }
  const Plan& plan() const { return plan_; }
  int largest_batch() const { return largest_batch_; }
  int trials() const { return static_cast<int>(trials_.size()); }
  Trial<T>& trial(int n) { return trials_[n]; }

  // k iterations of the trials that are alive. False if `cancel` was called meanwhile: nothing has changed then.
  bool advance(const Batches& batches, const bool* alive, const TrialNumbers* numbers, const double* courses,
               int course_width, double* losses, int64_t* broken, const std::function<void()>& poll) {
    cancelled_ = false;
    std::memcpy(backup_.get(), state_.get(), trials_.size() * state_bytes);
    Call call{batches, alive, numbers, courses, course_width, losses, broken};
    sort_full_batch(batches);
    if (split_) {
      std::barrier<> barrier(threads_);
      pool_->run(threads_, [&](int worker) { split(call, worker, barrier); }, poll);
    } else {
      const bool shared = shares(batches);
      const int64_t round = shared ? ROUND : batches.count;
      for (int64_t from = 0; from < batches.count && !cancelled_; from += round) {
        const int64_t to = std::min(from + round, batches.count);
        if (shared) shared_.sort(*train_, to - from, *pool_, [&](int64_t i) { return batches.at(0, from + i); });
        std::atomic<int> next = 0;
        pool_->run(
            static_cast<int>(gradients_.size()),
            [&](int worker) {
              for (int n; (n = next.fetch_add(1)) < trials();)
                if (alive[n]) {
                  if (!broken[n]) alone(call, n, worker, from, to, shared);
                  if (to == batches.count) settle(call, n);
                }
            },
            poll);
      }
    }
    if (cancelled_) std::memcpy(state_.get(), backup_.get(), trials_.size() * state_bytes);
    return !cancelled_;
  }

  void cancel() { cancelled_ = true; }

  // Summed loss and right answers of each trial over a split; in pieces of a fixed size, added in their order. Where
  // `poll` sets `stop`, what is found means nothing.
  void evaluate(Examples<T>& split, double* loss, int64_t* right, const std::function<void()>& poll,
                const std::atomic<bool>& stop) {
    const SortedBlocks<T>* blocks = paired_ ? split.sorted_blocks(*pool_) : nullptr;
    const int64_t pieces = (split.view.examples + PIECE - 1) / PIECE, tasks = pieces * trials();
    std::vector<double> losses(tasks);
    std::vector<int64_t> hits(tasks);
    std::atomic<int64_t> next = 0;
    pool_->run(
        threads_,
        [&](int worker) {
          for (int64_t task; !stop && (task = next.fetch_add(1)) < tasks;) {
            int64_t n = task / pieces, first = task % pieces * PIECE;
            int64_t count = std::min(PIECE, split.view.examples - first);
            kernel_.evaluate(looking(split, n, blocks, first), first, count, spaces_[worker], &losses[task],
                             &hits[task]);
          }
        },
        poll);
    for (int64_t task = 0; task < tasks; ++task) {
      loss[task / pieces] += losses[task];
      right[task / pieces] += hits[task];
    }
  }

  // The outputs (T, N, C); `stop` as above.
  void outputs(Examples<T>& split, T* result, const std::function<void()>& poll, const std::atomic<bool>& stop) {
    const int64_t examples = split.view.examples;
    const SortedBlocks<T>* blocks = paired_ ? split.sorted_blocks(*pool_) : nullptr;
    pool_->run(
        1,
        [&](int worker) {
          for (int n = 0; n < trials(); ++n)
            for (int64_t first = 0; !stop && first < examples; first += PIECE)
              kernel_.outputs(looking(split, n, blocks, first), first, std::min(PIECE, examples - first),
                              spaces_[worker], result + (n * examples + first) * plan_.classes);
        },
        poll);
  }

 private:
  static constexpr int64_t PIECE = 8 * BLOCK;  // examples between two looks at `stop`
  static constexpr int64_t ROUND = 64;         // iterations whose batches are sorted at once: a few MB

  struct Call {
    const Batches& batches;
    const bool* alive;
    const TrialNumbers* numbers;
    const double* courses;  // (T, k, course_width): the learning rate, then the rule's factors
    int course_width;
    double* losses;         // (T, k)
    int64_t* broken;        // (T,)
  };

  Step<T> step(const Inputs<T>& inputs, int64_t n, const Batch& batch, uint64_t t) const {
    return {&plan_, &inputs, &trials_[n], batch, t, &cancelled_, nullptr, 0};
  }

  // One that looks at a split's examples from `first` on, a multiple of BLOCK, and trains nothing.
  Step<T> looking(const Examples<T>& split, int64_t n, const SortedBlocks<T>* blocks, int64_t first) const {
    Step<T> step = this->step(split.view, n, {}, 0);
    step.blocks = blocks, step.block = first / BLOCK;
    return step;
  }

  // A batch of all examples is the same at every iteration: its inputs are sorted once.
  void sort_full_batch(const Batches& batches) {
    if (batches.rows || batches.starts || train_->view.dense || full_) return;
    const int64_t examples = train_->view.examples;
    const int parts = parts_of(plan_.size, largest_batch_);
    const int64_t each = blocks_of(examples, parts);
    full_ = std::make_unique<Sorting<T>>();
    full_->sort(*train_, parts * each, *pool_, [&](int64_t b) {
      const int part = static_cast<int>(b / each);
      const int64_t from = part_start(examples, part, parts) + b % each * BLOCK;
      const int64_t left = part_start(examples, part + 1, parts) - from;
      return Batch{nullptr, from, static_cast<int>(std::clamp(left, int64_t{0}, int64_t{BLOCK})), nullptr, -1};
    });
  }

  // Whether several trials take the same batches of a block each, so that these are sorted once for all of them.
  bool shares(const Batches& batches) const {
    return paired_ && batches.sets == 1 && trials() > 1 && largest_batch_ <= BLOCK;
  }

  // A step for one of its batch's parts.
  Step<T> of_part(Step<T> step, int part, int parts) const {
    if (full_ && !step.batch.rows && step.batch.size == train_->view.examples) {
      step.blocks = &full_->view;
      step.block = part * blocks_of(step.batch.size, parts);
    }
    return step;
  }

  Numbers numbers(const Call& call, int64_t n, int64_t i) const {
    const TrialNumbers& own = call.numbers[n];
    const double* course = call.courses + (n * call.batches.count + i) * call.course_width;
    Numbers result{course[0], {}, {}, own.l1, own.l2, own.weight_decay, own.clip_norm};
    std::copy(own.settings, own.settings + MAX_SETTINGS, result.settings);
    std::copy(course + 1, course + call.course_width, result.factors);
    return result;
  }

  // What to scale the summed gradient by.
  double scale(const T* g, int64_t n, const Numbers& h) const {
    if (h.clip_norm == std::numeric_limits<double>::infinity()) return 1.0;
    double norm = std::sqrt(kernel_.squares(plan_, trials_[n], g, h));
    double factor = h.clip_norm / (norm + 1e-6);  // 1e-6 as in torch's clip_grad_norm_
    return factor > 1.0 ? 1.0 : factor;           // a norm that is not a number stays one
  }

  // Makes up for the updates that the kernel has left for later.
  void settle(const Call& call, int n) {
    if (paired_) kernel_.settle(plan_, trials_[n], numbers(call, n, 0), train_->view.pairs());
  }

  // One trial on one thread, iterations from ... to of the call; with batches that are sorted for all trials if `shared`.
  void alone(const Call& call, int n, int worker, int64_t from, int64_t to, bool shared) {
    T* g = gradients_[worker].get();
    for (int64_t i = from; i < to && !cancelled_.load(std::memory_order_relaxed); ++i) {
      Numbers h = numbers(call, n, i);
      Batch batch = call.batches.at(n, i);
      Step<T> now = step(train_->view, n, batch, static_cast<uint64_t>(call.batches.first + i));
      if (shared && batch.size >= SORTED_FROM) now.blocks = &shared_.view, now.block = i - from;
      double& loss = call.losses[n * call.batches.count + i];
      if (batch.size <= BLOCK && h.clip_norm == std::numeric_limits<double>::infinity()) {
        loss = kernel_.step(now, h, spaces_[worker]);
      } else {
        int parts = parts_of(plan_.size, batch.size);
        settle(call, n);
        std::memset(g, 0, parts * plan_.size * sizeof(T));
        double total = 0;
        for (int p = 0; p < parts; ++p) total += kernel_.part(of_part(now, p, parts), p, parts, spaces_[worker], g + p * plan_.size);
        if (cancelled_.load(std::memory_order_relaxed)) return;
        loss = total / batch.size;
        if (std::isfinite(loss)) {
          kernel_.sum(plan_, g, parts, 0, plan_.size);
          kernel_.update(plan_, trials_[n], g, h, scale(g, n, h), 0, plan_.size);
        }
      }
      if (!std::isfinite(loss)) {
        call.broken[n] = call.batches.first + i;
        return;
      }
    }
  }

  // All trials, one after the other, each batch's parts over all threads.
  void split(const Call& call, int worker, std::barrier<>& barrier) {
    T* g = gradients_[0].get();
    constexpr int64_t line = ALIGNMENT / sizeof(T);
    const int64_t lines = plan_.size / line;
    const int64_t from = lines * worker / threads_ * line, to = lines * (worker + 1) / threads_ * line;
    for (int n = 0; n < trials(); ++n) {
      if (!call.alive[n]) continue;
      for (int64_t i = 0; i < call.batches.count; ++i) {
        Numbers h = numbers(call, n, i);
        Batch batch = call.batches.at(n, i);
        Step<T> now = step(train_->view, n, batch, static_cast<uint64_t>(call.batches.first + i));
        const int parts = parts_of(plan_.size, batch.size);
        if (worker == 0) next_part_ = 0;
        barrier.arrive_and_wait();
        for (int p; (p = next_part_.fetch_add(1)) < parts;) {
          std::memset(g + p * plan_.size, 0, plan_.size * sizeof(T));
          part_losses_[p] = kernel_.part(of_part(now, p, parts), p, parts, spaces_[worker], g + p * plan_.size);
        }
        barrier.arrive_and_wait();
        kernel_.sum(plan_, g, parts, from, to);
        if (worker == 0) stop_ = cancelled_.load();  // one answer for all threads
        barrier.arrive_and_wait();
        if (stop_) return;
        double total = 0;
        for (int p = 0; p < parts; ++p) total += part_losses_[p];
        double loss = total / batch.size;
        if (worker == 0) call.losses[n * call.batches.count + i] = loss;
        if (!std::isfinite(loss)) {
          if (worker == 0) call.broken[n] = call.batches.first + i;
          break;
        }
        double factor = scale(g, n, h);  // reads all weights
        barrier.arrive_and_wait();
        kernel_.update(plan_, trials_[n], g, h, factor, from, to);
      }
    }
  }

  Plan plan_;
  const Kernel<T>& kernel_;
  std::shared_ptr<Examples<T>> train_;
  std::shared_ptr<Pool> pool_;
  std::vector<Trial<T>> trials_;
  int largest_batch_;
  int64_t state_bytes = 0;
  Memory<char> state_, backup_;
  std::vector<Workspace<T>> spaces_;
  std::vector<Memory<char>> spaces_memory_;
  std::vector<Memory<T>> gradients_;
  std::vector<double> part_losses_;
  std::vector<int32_t> idle_;  // (trials, pairs)
  std::unique_ptr<Sorting<T>> full_;  // batches of all examples
  Sorting<T> shared_;                 // those of a round
  bool paired_ = false;
  std::atomic<int> next_part_ = 0;
  std::atomic<bool> cancelled_ = false;
  bool stop_ = false, split_ = false;
  int threads_ = 1;
};

}  // namespace assay
