// What is trained, as plain data: the only types that the kernel, compiled once for each instruction set, shares with
// the rest. T is float or double throughout.
#pragma once

#include <atomic>
#include <cstdint>

#include "names.hpp"

namespace assay {

constexpr int MAX_LAYERS = 65;    // 64 hidden ones and the last
constexpr int BLOCK = 128;        // examples that go through the network together: their values stay in the L2 cache
constexpr int FEW = 8;            // examples of a block from which outputs and losses are taken side by side
constexpr int AHEAD = 8;          // examples between the one that is fetched into the cache and the one that is read
constexpr int PART = 256;         // examples a part of a batch has at least; parts may run on different cores
constexpr int MAX_PARTS = 32;
constexpr int ALIGNMENT = 64;     // bytes: a cache line, and the widest vector
constexpr int MAX_SETTINGS = 4;
constexpr int MAX_FACTORS = 2;

// How many values a row of `units` takes: whole cache lines. The units beyond are dead: their weights are 0, no layer
// reads their values, and their d = dL/dz is 0, so that no rule ever moves them.
template <class T>
constexpr int padded(int units) {
  constexpr int lanes = ALIGNMENT / sizeof(T);
  return (units + lanes - 1) / lanes * lanes;
}

// Units of the first layer and examples of a batch from which sparse inputs are sorted by their place: with fewer it
// costs more than it saves.
template <class T>
constexpr int PAIRED_FROM = 256 / sizeof(T);
constexpr int SORTED_FROM = 5;

struct Layer {
  int inputs, units, stride;    // stride = padded units
  int64_t weight, bias;         // where they begin in a trial's vectors: weight (inputs, stride), bias (stride,)
  Activation activation;        // identity after the last layer
  double dropout;               // the rate after the activation, 0 for none
};

struct Plan {
  int layers;
  Layer layer[MAX_LAYERS];
  int classes;
  Output output;
  Loss loss;
  RuleName rule;
  int slots;
  double epsilon;               // where probabilities are clamped
  bool penalise_biases;
  int64_t weights, size;        // elements of a trial's vectors: weights first, then biases

  __attribute__((always_inline)) const Layer& last() const { return layer[layers - 1]; }
};

// Whether the first layer takes its inputs by pairs in every batch.
template <class T>
bool takes_pairs(const Plan& plan, bool sparse) {
  return sparse && plan.layer[0].stride >= PAIRED_FROM<T>;
}

// A split's examples. Sparse: the values that differ from the example's own background, which is 0 or the value that
// most of its inputs share; dense: all of them.
template <class T>
struct Inputs {
  int64_t examples;
  int features;
  const int32_t* labels;        // (N,)
  const T* dense;               // (N, D), or null where sparse
  const int64_t* offsets;       // (N + 1,)
  const uint16_t* columns;
  const T* values;              // x - background
  const T* background;          // (N,)
  bool has_background;          // some background is not 0
  // The same inputs by pairs of neighbours, 2k and 2k + 1, where one of them differs; null where nothing needs them.
  const int64_t* pair_offsets;  // (N + 1,)
  const uint16_t* pair_places;  // k
  const T* pair_values;         // two for each

  __attribute__((always_inline)) int pairs() const { return (features + 1) / 2; }
};

// The examples of one batch: rows where given, else a run from `start`. `next` is where the following batch begins or
// null: it is fetched into the cache meanwhile.
struct Batch {
  const int32_t* rows;
  int64_t start;
  int size;
  const int32_t* next_rows;
  int64_t next_start;           // -1: none

  __attribute__((always_inline)) int64_t row(int i) const { return rows ? rows[i] : start + i; }
};

// The numbers of one iteration's update.
struct Numbers {
  double learning_rate;
  double settings[MAX_SETTINGS], factors[MAX_FACTORS];
  double l1, l2, weight_decay, clip_norm;
};

template <class T>
struct Trial {
  T* w;
  T* slots[2];
  int32_t* idle;                // for each pair of inputs: updates of its weights that are still to be made up for
  uint64_t dropout_key[MAX_LAYERS];
};

// A pair of a block's inputs.
template <class T>
struct Entry {
  T first, second;
  int32_t row;                  // of the example, in the block
};

// A block's pairs of inputs by their place: those of place k, counts[k] in the order of the examples, begin `room` after
// those of place k - 1, or where these end.
template <class T>
struct SortedBlock {
  const Entry<T>* entries;
  const int32_t* counts;
  int room;                     // 0: they follow one another
};

// Blocks that are sorted before an iteration begins.
template <class T>
struct SortedBlocks {
  const Entry<T>* entries;
  const int64_t* starts;        // (blocks,)
  const int32_t* counts;        // (blocks, pairs)
  int pairs;

  __attribute__((always_inline)) SortedBlock<T> at(int64_t block) const {
    return {entries + starts[block], counts + block * pairs, 0};
  }
};

// The memory of one thread; `place` below hands it out.
template <class T>
struct Workspace {
  T *z[MAX_LAYERS], *a[MAX_LAYERS], *out[MAX_LAYERS], *mask[MAX_LAYERS];  // (BLOCK, stride) each
  T *d, *d_before;              // (BLOCK, widest stride)
  T* transposed;                // (units, padded inputs) of any layer but the first
  T* gathered;                  // (BLOCK, D) dense inputs
  T *column_sums, *shared;      // (stride of the first layer,)
  T* g;                         // gradients on their way to an update, (size,)
  T* packed;                    // (BLOCK, stride of the first layer), panel after panel
  SortedBlock<T> sorted;        // the block in work, where it is sorted
  Entry<T>* entries;            // room to sort it: (pairs, rows), and for the counts
  int32_t* pair_counts;
  T* pair_gradient;             // (2, stride of the first layer)
};

// Memory handed out from one allocation; with `base` null it only counts.
struct Bump {
  char* base = nullptr;
  int64_t used = 0;

  template <class T>
  T* take(int64_t count) {
    T* place = base ? reinterpret_cast<T*>(base + used) : nullptr;
    used += (count * static_cast<int64_t>(sizeof(T)) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return place;
  }
};

// One iteration of one trial.
template <class T>
struct Step {
  const Plan* plan;
  const Inputs<T>* inputs;
  const Trial<T>* trial;
  Batch batch;
  uint64_t t;                   // from 1
  const std::atomic<bool>* cancelled;
  const SortedBlocks<T>* blocks;  // where the batch's are already sorted, else null
  int64_t block;                // the number of the first of them
};

// How many parts a batch is cut into: it depends on the batch and the network alone, never on the number of threads, so
// that sums are the same whatever runs where. Each part has a gradient of its own of `size`, so large networks get
// fewer.
inline int parts_of(int64_t size, int batch) {
  int64_t parts = batch / PART, affordable = (int64_t{1} << 26) / size;
  if (parts > MAX_PARTS) parts = MAX_PARTS;
  if (parts > affordable) parts = affordable;
  return parts < 1 ? 1 : static_cast<int>(parts);
}

// The first example of a part, and the end of the last one.
inline int64_t part_start(int64_t batch, int part, int parts) { return batch * part / parts; }

// How many blocks the longest part has.
inline int64_t blocks_of(int64_t batch, int parts) { return ((batch + parts - 1) / parts + BLOCK - 1) / BLOCK; }

// What the kernel offers, compiled for one instruction set.
template <class T>
struct Kernel {
  // The whole iteration on one thread, for batches of one block without clipping: gradients go into the weights as soon
  // as they are known. The mean loss; where it is not finite, nothing has been updated.
  double (*step)(const Step<T>&, const Numbers&, Workspace<T>&);
  // Adds a part's gradient of the summed loss / B to `g` (size,) and returns its summed loss.
  double (*part)(const Step<T>&, int part, int parts, Workspace<T>&, T* g);
  // Sums `parts` gradients (parts, size) into the first, elements from ... to.
  void (*sum)(const Plan&, T* g, int parts, int64_t from, int64_t to);
  // The sum of squares of the penalised gradient.
  double (*squares)(const Plan&, const Trial<T>&, const T* g, const Numbers&);
  // Updates the elements from ... to, multiples of a cache line, with the gradient scaled.
  void (*update)(const Plan&, const Trial<T>&, const T* g, const Numbers&, double scale, int64_t from, int64_t to);
  // Makes up for the updates that `step` left for later.
  void (*settle)(const Plan&, const Trial<T>&, const Numbers&, int pairs);
  // Summed loss and right answers of `count` examples from `first` on.
  void (*evaluate)(const Step<T>&, int64_t first, int64_t count, Workspace<T>&, double* loss, int64_t* right);
  // The network's outputs (count, classes).
  void (*outputs)(const Step<T>&, int64_t first, int64_t count, Workspace<T>&, T* result);
};

struct Kernels {
  Kernel<float> float32;
  Kernel<double> float64;
};

template <class T>
void place(Workspace<T>& space, const Plan& plan, int features, bool sparse, Bump& memory) {
  int widest = 0;
  int64_t largest = 0;
  for (int l = 0; l < plan.layers; ++l) {
    const Layer& layer = plan.layer[l];
    widest = layer.stride > widest ? layer.stride : widest;
    space.z[l] = memory.take<T>(int64_t{BLOCK} * layer.stride);
    space.a[l] = memory.take<T>(int64_t{BLOCK} * layer.stride);
    space.mask[l] = layer.dropout > 0 ? memory.take<T>(int64_t{BLOCK} * layer.stride) : nullptr;
    space.out[l] = layer.dropout > 0 ? memory.take<T>(int64_t{BLOCK} * layer.stride) : space.a[l];
    int64_t transposed = int64_t{layer.units} * padded<T>(layer.inputs);
    if (l > 0 && transposed > largest) largest = transposed;
  }
  space.d = memory.take<T>(int64_t{BLOCK} * widest);
  space.d_before = memory.take<T>(int64_t{BLOCK} * widest);
  space.transposed = memory.take<T>(largest);
  space.gathered = sparse ? nullptr : memory.take<T>(int64_t{BLOCK} * features);
  space.column_sums = memory.take<T>(plan.layer[0].stride);
  space.shared = memory.take<T>(plan.layer[0].stride);
  space.g = memory.take<T>(plan.size);
  const bool paired = takes_pairs<T>(plan, sparse);
  const int pairs = paired ? (features + 1) / 2 : 0;
  space.packed = memory.take<T>(sparse ? int64_t{BLOCK} * plan.layer[0].stride : 0);
  space.entries = memory.take<Entry<T>>(int64_t{BLOCK} * pairs);
  space.pair_counts = memory.take<int32_t>(pairs);
  space.pair_gradient = memory.take<T>(paired ? 2 * plan.layer[0].stride : 0);
}

}  // namespace assay
