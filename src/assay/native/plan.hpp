// What is trained, as plain data: the only types that the kernel, compiled once for each instruction set, shares with
// the rest. T is float or double throughout. Functions in here are always inlined (see kernel.cpp).
#pragma once

#include <cstdint>

#include "names.hpp"

#define ASSAY_INLINED __attribute__((always_inline))
#define ASSAY_INLINE inline ASSAY_INLINED

namespace assay {

constexpr int MAX_LAYERS = 65;       // 64 hidden ones and the last
constexpr int BLOCK = 128;           // examples that go through the network together: their values stay in the L2 cache
constexpr int MIN_GROUPED_ROWS = 8;  // blocks of fewer examples take outputs and losses one example at a time
constexpr int PREFETCH_DISTANCE = 8;  // examples between the one that is prefetched and the one that is read
constexpr int MIN_PART_ROWS = 256;    // examples per part of a batch; parts may run on different cores
constexpr int MAX_PARTS = 32;
constexpr int ALIGNMENT = 64;  // bytes: a cache line, and the widest vector
constexpr int MAX_SETTINGS = 4;
constexpr int MAX_FACTORS = 4;
constexpr int MAX_SLOTS = 4;

// How many values a row of `units` takes: whole cache lines. The units beyond are dead: their weights are 0, no layer
// reads their values, and their d = dL/dz is 0, so that no optimizer ever moves them.
template <class T>
ASSAY_INLINE constexpr int padded(int units) {
  constexpr int line = ALIGNMENT / sizeof(T);
  return (units + line - 1) / line * line;
}

// With fewer units in the first layer, or fewer examples in a block, sorting sparse inputs costs more than it saves.
template <class T>
constexpr int MIN_SORTED_STRIDE = 256 / sizeof(T);
constexpr int MIN_SORTED_ROWS = 5;

struct Layer {
  int inputs, units, stride;  // stride = padded units
  int64_t weight, bias;       // offsets in a trial's vectors: weight (inputs, stride), bias (stride,)
  Activation activation;      // identity after the last layer
  double dropout;             // the rate after the activation, 0 for none
};

struct Plan {
  int layers;
  Layer layer[MAX_LAYERS];
  int classes;
  Output output;
  Loss loss;
  Optimizer optimizer;
  int slots;
  double epsilon;  // where probabilities are clamped
  bool penalise_biases;
  bool clips_objective;   // the gradient that is clipped has the penalties in it; else they are added after
  int64_t weights, size;  // elements of a trial's vectors: weights first, then biases

  ASSAY_INLINED const Layer& last() const { return layer[layers - 1]; }
};

// Whether the first layer reads its inputs by pairs in every batch.
template <class T>
ASSAY_INLINE bool uses_pairs(const Plan& plan, bool sparse) {
  return sparse && plan.layer[0].stride >= MIN_SORTED_STRIDE<T>;
}

// A split's examples. Sparse: the values that differ from the example's background, which is 0 or the value of more
// than half of its inputs. Dense: all values.
template <class T>
struct Inputs {
  int64_t examples;
  int features;
  const int32_t* labels;   // (N,), 0 where there are targets
  const T* targets;        // (N,) of a regression, else null
  const T* dense;          // (N, D), or null if sparse
  const int64_t* offsets;  // (N + 1,)
  const uint16_t* columns;
  const T* values;      // x - background
  const T* background;  // (N,)
  bool has_background;  // at least one background is not 0
  // The same inputs by pairs of columns, 2k and 2k + 1, of which at least one differs; null until they are needed.
  const int64_t* pair_offsets;   // (N + 1,)
  const uint16_t* pair_indices;  // k
  const T* pair_values;          // two for each pair

  ASSAY_INLINED int pairs() const { return (features + 1) / 2; }
};

// The examples of one batch: `rows`, or those from `start` on if `rows` is null. `next_rows` or `next_start` say where
// the following batch begins: it is prefetched.
struct Batch {
  const int32_t* rows;
  int64_t start;
  int size;
  const int32_t* next_rows;
  int64_t next_start;  // -1: none

  ASSAY_INLINED int64_t row(int i) const { return rows ? rows[i] : start + i; }
};

// A block of a batch: its examples first ... first + rows - 1.
struct Block {
  int first, rows;
};

// The hyperparameters of one iteration.
struct Hyperparameters {
  double learning_rate;
  double settings[MAX_SETTINGS], factors[MAX_FACTORS];
  double l1, l2, weight_decay, clip_norm;
};

template <class T>
struct Trial {
  T* w;
  T* slots[MAX_SLOTS];       // null beyond those that the optimizer has
  int32_t* pending_updates;  // for each pair of inputs: updates of its weights' slots that `catch_up` has to apply
  uint64_t dropout_key[MAX_LAYERS];
};

// The values of one pair of columns in one example.
template <class T>
struct PairEntry {
  T first, second;
  int32_t row;  // of the example, in the block
};

// The entries of a block, sorted by pair. Pair k has counts[k] entries, in the order of the examples; they begin
// `capacity` entries after those of pair k - 1, or right after them if `capacity` is 0.
template <class T>
struct SortedBlock {
  const PairEntry<T>* entries;
  const int32_t* counts;
  int capacity;
};

// Blocks that were sorted before an iteration begins.
template <class T>
struct SortedBlocks {
  const PairEntry<T>* entries;
  const int64_t* starts;  // (blocks,)
  const int32_t* counts;  // (blocks, pairs)
  int pairs;

  ASSAY_INLINED SortedBlock<T> at(int64_t block) const { return {entries + starts[block], counts + block * pairs, 0}; }
};

// The memory that one thread works in.
template <class T>
struct Workspace {
  T *z[MAX_LAYERS], *a[MAX_LAYERS], *out[MAX_LAYERS], *mask[MAX_LAYERS];  // (BLOCK, stride) each
  T *d, *d_below;                        // (BLOCK, widest stride): dL/dz of a layer, and of the one below it
  T* transposed;                         // (units, padded inputs) of any layer but the first
  T* gathered;                           // (BLOCK, D) dense inputs
  T *column_sums, *background_gradient;  // (stride of the first layer,)
  T* g;                                  // (size,): gradients that are applied at once
  T* packed;                             // (BLOCK, stride of the first layer), panel after panel
  SortedBlock<T> sorted;                 // the current block, if it is sorted
  PairEntry<T>* entries;                 // room to sort it: (pairs, rows), and for the counts
  int32_t* pair_counts;
  T* pair_gradient;  // (2, stride of the first layer)
};

// A flag that one thread sets and others read. Not std::atomic: its functions are inline, but not always inlined.
struct Flag {
  bool value = false;

  ASSAY_INLINED bool is_set() const { return __atomic_load_n(&value, __ATOMIC_RELAXED); }
  ASSAY_INLINED void set(bool to) { __atomic_store_n(&value, to, __ATOMIC_RELAXED); }
};

// One pass of a trial's network over examples: an iteration of training, or an evaluation.
template <class T>
struct Pass {
  const Plan* plan;
  const Inputs<T>* inputs;
  const Trial<T>* trial;
  Batch batch;
  uint64_t t;  // from 1
  const Flag* cancelled;
  const SortedBlocks<T>* blocks;  // where the batch's blocks are sorted already, else null
  int64_t block;                  // the index of the first of them
};

// How many parts a batch is cut into. It depends on the batch and the network alone, never on the number of threads, so
// that sums have the same order however many threads there are. Each part has a gradient of `size` elements, so large
// networks get fewer.
ASSAY_INLINE int part_count(int64_t size, int batch) {
  int64_t parts = batch / MIN_PART_ROWS, affordable = (int64_t{1} << 26) / size;
  if (parts > MAX_PARTS) parts = MAX_PARTS;
  if (parts > affordable) parts = affordable;
  return parts < 1 ? 1 : static_cast<int>(parts);
}

// The first example of a part; the batch's end for part = parts.
ASSAY_INLINE int64_t part_start(int64_t batch, int part, int parts) { return batch * part / parts; }

// How many blocks the longest part has.
ASSAY_INLINE int64_t blocks_per_part(int64_t batch, int parts) {
  return ((batch + parts - 1) / parts + BLOCK - 1) / BLOCK;
}

// The functions of the kernel, compiled for one instruction set.
template <class T>
struct Kernel {
  // A whole iteration on one thread, for batches of one block without clipping: gradients are applied to the weights as
  // soon as they are known. Returns the mean loss; if it is not finite, nothing has been updated.
  double (*iterate)(const Pass<T>&, const Hyperparameters&, Workspace<T>&);
  // Adds a part's gradient of the summed loss / B to `g` (size,) and returns its summed loss.
  double (*part_gradient)(const Pass<T>&, int part, int parts, Workspace<T>&, T* g);
  // Sums `parts` gradients (parts, size) into the first, elements from ... to.
  void (*sum_gradients)(const Plan&, T* g, int parts, int64_t from, int64_t to);
  // The squared norm of the gradient that is clipped.
  double (*squared_norm)(const Plan&, const Trial<T>&, const T* g, const Hyperparameters&);
  // Updates the elements from ... to, multiples of a cache line, with the gradient times `scale`.
  void (*update)(const Plan&, const Trial<T>&, const T* g, const Hyperparameters&, double scale, int64_t from,
                 int64_t to);
  // Applies the updates that `iterate` has postponed.
  void (*flush_lazy)(const Plan&, const Trial<T>&, const Hyperparameters&, int pairs);
  // Adds the loss and the correct predictions of `count` examples from `first` on.
  void (*evaluate)(const Pass<T>&, int64_t first, int64_t count, Workspace<T>&, double* loss, int64_t* correct);
  // The same of examples with targets, all of which count as correct.
  void (*evaluate_targets)(const Pass<T>&, int64_t first, int64_t count, Workspace<T>&, double* loss, int64_t* correct);
  // Writes the network's outputs (count, classes).
  void (*outputs)(const Pass<T>&, int64_t first, int64_t count, Workspace<T>&, T* result);
};

struct Kernels {
  Kernel<float> float32;
  Kernel<double> float64;
};

}  // namespace assay
