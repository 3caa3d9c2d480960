// A cohort in training: its memory, and what each thread computes.
//
// If there are as many trials as threads, or batches are small, each trial is trained by one thread. Otherwise the
// parts of a batch are spread over the threads. Both add a trial's sums in the same order, so the bits are the same.
//
// Threads of the pool allocate nothing in an iteration: every buffer is made before, by the thread that calls.
#pragma once

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "batches.hpp"
#include "examples.hpp"
#include "memory.hpp"
#include "plan.hpp"
#include "sorted_blocks.hpp"
#include "threads.hpp"
#include "workspace.hpp"

namespace assay {

// The hyperparameters of a trial that are the same in every iteration.
struct TrialConstants {
  double settings[MAX_SETTINGS], l1, l2, weight_decay, clip_norm;
};

// k iterations of T trials, and where their results go.
struct Call {
  const Batches& batches;
  const bool* alive;                // (T,)
  const TrialConstants* constants;  // (T,)
  const double* step_values;        // (T, k, values_per_step): the learning rate, then the optimizer's factors
  int values_per_step;
  double* losses;        // (T, k)
  int64_t* diverged_at;  // (T,): the first iteration whose loss is not finite, else 0
};

template <class T>
class Cohort {
 public:
  Cohort(const Plan& plan, const Kernel<T>& kernel, int trials, int largest_batch, std::shared_ptr<Examples<T>> train,
         std::shared_ptr<Pool> pool)
      : plan_(plan),
        kernel_(kernel),
        train_(std::move(train)),
        pool_(std::move(pool)),
        trials_(trials),
        largest_batch_(largest_batch) {
    const int64_t vectors = 1 + plan.slots;
    state_bytes_ = vectors * plan.size * static_cast<int64_t>(sizeof(T));
    state_ = zeroed_buffer<char>(trials * state_bytes_);
    backup_ = zeroed_buffer<char>(trials * state_bytes_);
    uses_pairs_ = uses_pairs<T>(plan, !train_->view.dense);
    if (uses_pairs_) {
      train_->build_pairs(*pool_);
      pending_updates_.resize(trials * train_->view.pairs());
    }
    for (int n = 0; n < trials; ++n) {
      T* w = state(n);
      trials_[n] = {w, {}, uses_pairs_ ? pending_updates_.data() + n * train_->view.pairs() : nullptr, {}};
      for (int slot = 0; slot < plan.slots; ++slot) trials_[n].slots[slot] = w + (slot + 1) * plan.size;
    }
    threads_ = pool_->size();
    make_workspaces();
    const int64_t parts = part_count(plan.size, largest_batch);
    splits_batches_ = trials < threads_ && parts > 1;
    const int gradients = largest_batch == 0 ? 0 : splits_batches_ ? 1 : std::min(trials, threads_);
    for (int n = 0; n < gradients; ++n) gradients_.push_back(zeroed_buffer<T>(parts * plan.size));
    part_losses_.resize(parts);
  }

  T* state(int64_t trial) { return reinterpret_cast<T*>(state_.get() + trial * state_bytes_); }
  const Plan& plan() const { return plan_; }
  const Examples<T>& train() const { return *train_; }
  int largest_batch() const { return largest_batch_; }
  int trials() const { return static_cast<int>(trials_.size()); }
  Trial<T>& trial(int n) { return trials_[n]; }

  // Trains the trials that are alive. Returns false if `cancel` was called meanwhile: then nothing has changed.
  bool advance(const Call& call, const std::function<void()>& poll) {
    cancelled_.set(false);
    std::memcpy(backup_.get(), state_.get(), trials_.size() * state_bytes_);
    sort_full_batch(call.batches);
    if (splits_batches_)
      train_split(call, poll);
    else
      train_whole(call, poll);
    if (!cancelled_.is_set()) return true;
    std::memcpy(state_.get(), backup_.get(), trials_.size() * state_bytes_);
    std::fill(pending_updates_.begin(), pending_updates_.end(), 0);  // those of the iterations that were discarded
    return false;
  }

  void cancel() { cancelled_.set(true); }

  // Adds each trial's loss and correct predictions over a split: in pieces of a fixed size, summed in their order. The
  // results are incomplete if `poll` sets `stop`.
  void evaluate(Examples<T>& split, double* loss, int64_t* correct, const std::function<void()>& poll,
                const Flag& stop) {
    const SortedBlocks<T>* blocks = uses_pairs_ ? split.sorted_blocks(*pool_) : nullptr;
    const int64_t pieces = (split.view.examples + EVALUATION_ROWS - 1) / EVALUATION_ROWS, tasks = pieces * trials();
    std::vector<double> losses(tasks);
    std::vector<int64_t> counts(tasks);
    std::atomic<int64_t> next = 0;
    const auto evaluate_piece = split.view.targets ? kernel_.evaluate_targets : kernel_.evaluate;
    auto evaluate_pieces = [&](int worker) {
      for (int64_t task; !stop.is_set() && (task = next.fetch_add(1)) < tasks;) {
        int64_t n = task / pieces, first = task % pieces * EVALUATION_ROWS;
        int64_t count = std::min(EVALUATION_ROWS, split.view.examples - first);
        evaluate_piece(evaluation_pass(split, n, blocks, first), first, count, workspaces_[worker], &losses[task],
                       &counts[task]);
      }
    };
    pool_->run(threads_, evaluate_pieces, poll);
    for (int64_t task = 0; task < tasks; ++task) {
      loss[task / pieces] += losses[task];
      correct[task / pieces] += counts[task];
    }
  }

  // Writes the outputs (T, N, C); `stop` as above.
  void outputs(Examples<T>& split, T* result, const std::function<void()>& poll, const Flag& stop) {
    const int64_t examples = split.view.examples;
    const SortedBlocks<T>* blocks = uses_pairs_ ? split.sorted_blocks(*pool_) : nullptr;
    auto compute = [&](int worker) {
      for (int n = 0; n < trials(); ++n)
        for (int64_t first = 0; !stop.is_set() && first < examples; first += EVALUATION_ROWS)
          kernel_.outputs(evaluation_pass(split, n, blocks, first), first, std::min(EVALUATION_ROWS, examples - first),
                          workspaces_[worker], result + (n * examples + first) * plan_.classes);
    };
    pool_->run(1, compute, poll);
  }

 private:
  static constexpr int64_t EVALUATION_ROWS = 8 * BLOCK;  // examples between two checks of `stop`
  static constexpr int64_t SORTED_ITERATIONS = 64;       // iterations whose batches are sorted together: a few MB

  void make_workspaces() {
    const bool sparse = !train_->view.dense;
    BumpAllocator count;
    lay_out<T>(plan_, train_->view.features, sparse, count);
    for (int worker = 0; worker < threads_; ++worker) {
      workspace_buffers_.push_back(zeroed_buffer<char>(count.used));
      BumpAllocator memory{workspace_buffers_.back().get(), 0};
      workspaces_.push_back(lay_out<T>(plan_, train_->view.features, sparse, memory));
    }
  }

  Pass<T> training_pass(const Call& call, int64_t n, int64_t i) const {
    const uint64_t t = call.batches.first + i;
    return {&plan_, &train_->view, &trials_[n], call.batches.at(n, i), t, &cancelled_, nullptr, 0};
  }

  // A pass over a split's examples from `first` on, a multiple of BLOCK.
  Pass<T> evaluation_pass(const Examples<T>& split, int64_t n, const SortedBlocks<T>* blocks, int64_t first) const {
    return {&plan_, &split.view, &trials_[n], {}, 0, &cancelled_, blocks, first / BLOCK};
  }

  // A batch of all examples is the same in every iteration: its inputs are sorted once.
  void sort_full_batch(const Batches& batches) {
    if (batches.rows || batches.starts || train_->view.dense || full_batch_blocks_) return;
    const int64_t examples = train_->view.examples;
    const int parts = part_count(plan_.size, largest_batch_);
    const int64_t part_blocks = blocks_per_part(examples, parts);
    full_batch_blocks_ = std::make_unique<BlockSorter<T>>();
    full_batch_blocks_->sort(*train_, parts * part_blocks, *pool_, [&](int64_t b) {
      const int part = static_cast<int>(b / part_blocks);
      const int64_t from = part_start(examples, part, parts) + b % part_blocks * BLOCK;
      const int64_t left = part_start(examples, part + 1, parts) - from;
      return Batch{nullptr, from, static_cast<int>(std::clamp(left, int64_t{0}, int64_t{BLOCK})), nullptr, -1};
    });
  }

  // Whether several trials read the same batches, of one block each: these are sorted once for all trials.
  bool shares_batches(const Batches& batches) const {
    return uses_pairs_ && batches.sets == 1 && trials() > 1 && largest_batch_ <= BLOCK;
  }

  // The pass for one part of a batch.
  Pass<T> part_pass(Pass<T> pass, int part, int parts) const {
    if (full_batch_blocks_ && !pass.batch.rows && pass.batch.size == train_->view.examples) {
      pass.blocks = &full_batch_blocks_->view;
      pass.block = part * blocks_per_part(pass.batch.size, parts);
    }
    return pass;
  }

  Hyperparameters hyperparameters(const Call& call, int64_t n, int64_t i) const {
    const TrialConstants& constants = call.constants[n];
    const double* values = call.step_values + (n * call.batches.count + i) * call.values_per_step;
    Hyperparameters result{values[0], {}, {}, constants.l1, constants.l2, constants.weight_decay, constants.clip_norm};
    std::copy(constants.settings, constants.settings + MAX_SETTINGS, result.settings);
    std::copy(values + 1, values + call.values_per_step, result.factors);
    return result;
  }

  // The factor by which clipping scales the gradient.
  double clip_factor(const T* g, int64_t n, const Hyperparameters& h) const {
    if (h.clip_norm == std::numeric_limits<double>::infinity()) return 1.0;
    double norm = std::sqrt(kernel_.squared_norm(plan_, trials_[n], g, h));
    double factor = h.clip_norm / (norm + 1e-6);  // 1e-6 as in torch's clip_grad_norm_
    return factor > 1.0 ? 1.0 : factor;           // a norm of NaN stays NaN
  }

  void flush_lazy(const Call& call, int n) {
    if (uses_pairs_) kernel_.flush_lazy(plan_, trials_[n], hyperparameters(call, n, 0), train_->view.pairs());
  }

  // Each trial on one thread; in rounds of iterations if the trials share sorted batches.
  void train_whole(const Call& call, const std::function<void()>& poll) {
    const Batches& batches = call.batches;
    const bool shared = shares_batches(batches);
    const int64_t round = shared ? SORTED_ITERATIONS : batches.count;
    for (int64_t from = 0; from < batches.count && !cancelled_.is_set(); from += round) {
      const int64_t to = std::min(from + round, batches.count);
      if (shared) round_blocks_.sort(*train_, to - from, *pool_, [&](int64_t i) { return batches.at(0, from + i); });
      std::atomic<int> next = 0;
      auto train_next = [&](int worker) {
        for (int n; (n = next.fetch_add(1)) < trials();)
          if (call.alive[n]) {
            if (!call.diverged_at[n]) train_trial(call, n, worker, from, to, shared);
            if (to == batches.count) flush_lazy(call, n);
          }
      };
      pool_->run(static_cast<int>(gradients_.size()), train_next, poll);
    }
  }

  // Iterations from ... to of one trial; `shared` says that their batches are sorted for all trials.
  void train_trial(const Call& call, int n, int worker, int64_t from, int64_t to, bool shared) {
    T* g = gradients_[worker].get();
    for (int64_t i = from; i < to && !cancelled_.is_set(); ++i) {
      const Hyperparameters h = hyperparameters(call, n, i);
      Pass<T> pass = training_pass(call, n, i);
      const Batch& batch = pass.batch;
      if (shared && batch.size >= MIN_SORTED_ROWS) pass.blocks = &round_blocks_.view, pass.block = i - from;
      double& loss = call.losses[n * call.batches.count + i];
      if (batch.size <= BLOCK && h.clip_norm == std::numeric_limits<double>::infinity()) {
        loss = kernel_.iterate(pass, h, workspaces_[worker]);
      } else {
        int parts = part_count(plan_.size, batch.size);
        flush_lazy(call, n);
        std::memset(g, 0, parts * plan_.size * sizeof(T));
        double total = 0;
        for (int p = 0; p < parts; ++p)
          total += kernel_.part_gradient(part_pass(pass, p, parts), p, parts, workspaces_[worker], g + p * plan_.size);
        if (cancelled_.is_set()) return;
        loss = total / batch.size;
        if (std::isfinite(loss)) {
          kernel_.sum_gradients(plan_, g, parts, 0, plan_.size);
          kernel_.update(plan_, trials_[n], g, h, clip_factor(g, n, h), 0, plan_.size);
        }
      }
      if (!std::isfinite(loss)) {
        call.diverged_at[n] = call.batches.first + i;
        return;
      }
    }
  }

  // One trial after the other, the parts of each batch on all threads.
  void train_split(const Call& call, const std::function<void()>& poll) {
    std::barrier<> barrier(threads_);
    auto train = [&](int worker) { train_parts(call, worker, barrier); };
    pool_->run(threads_, train, poll);
  }

  void train_parts(const Call& call, int worker, std::barrier<>& barrier) {
    T* g = gradients_[0].get();
    constexpr int64_t line = ALIGNMENT / sizeof(T);
    const int64_t lines = plan_.size / line;
    const int64_t from = lines * worker / threads_ * line, to = lines * (worker + 1) / threads_ * line;
    for (int n = 0; n < trials(); ++n) {
      if (!call.alive[n]) continue;
      for (int64_t i = 0; i < call.batches.count; ++i) {
        const Hyperparameters h = hyperparameters(call, n, i);
        const Pass<T> pass = training_pass(call, n, i);
        const int parts = part_count(plan_.size, pass.batch.size);
        if (worker == 0) next_part_ = 0;
        barrier.arrive_and_wait();
        for (int p; (p = next_part_.fetch_add(1)) < parts;) {
          std::memset(g + p * plan_.size, 0, plan_.size * sizeof(T));
          part_losses_[p] =
              kernel_.part_gradient(part_pass(pass, p, parts), p, parts, workspaces_[worker], g + p * plan_.size);
        }
        barrier.arrive_and_wait();
        kernel_.sum_gradients(plan_, g, parts, from, to);
        if (worker == 0) stop_ = cancelled_.is_set();  // one answer for all threads
        barrier.arrive_and_wait();
        if (stop_) return;
        double total = 0;
        for (int p = 0; p < parts; ++p) total += part_losses_[p];
        double loss = total / pass.batch.size;
        if (worker == 0) call.losses[n * call.batches.count + i] = loss;
        if (!std::isfinite(loss)) {
          if (worker == 0) call.diverged_at[n] = call.batches.first + i;
          break;
        }
        double factor = clip_factor(g, n, h);  // reads all weights
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
  int64_t state_bytes_ = 0;
  Buffer<char> state_, backup_;
  std::vector<Workspace<T>> workspaces_;
  std::vector<Buffer<char>> workspace_buffers_;
  std::vector<Buffer<T>> gradients_;
  std::vector<double> part_losses_;
  std::vector<int32_t> pending_updates_;               // (trials, pairs)
  std::unique_ptr<BlockSorter<T>> full_batch_blocks_;  // batches of all examples
  BlockSorter<T> round_blocks_;                        // the batches of a round of iterations
  bool uses_pairs_ = false;
  std::atomic<int> next_part_ = 0;
  Flag cancelled_;
  bool stop_ = false, splits_batches_ = false;
  int threads_ = 1;
};

}  // namespace assay
