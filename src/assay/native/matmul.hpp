// Dense products. All matrices are rows of whole cache lines, except dense inputs, which are read one value at a
// time.
#pragma once

#include "simd.hpp"

namespace assay::ASSAY_LEVEL {

// c (R, C vectors) = start + sum over k < depth of a[r, k] b[k], held in registers.
template <class T, int R, int C>
ASSAY_INLINE void tile(int depth, const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_row, T* c,
                       int64_t c_row, const T* start, int64_t start_row) {
  Vector<T> acc[R][C];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < C; ++v) acc[r][v] = start ? as_vector(start + r * start_row + v * LANES<T>) : Vector<T>{};
  for (int k = 0; k < depth; ++k) {
    Vector<T> row[C];
#pragma GCC unroll 16
    for (int v = 0; v < C; ++v) row[v] = as_vector(b + k * b_row + v * LANES<T>);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      Vector<T> x = splat(a[r * a_row + k * a_step]);
#pragma GCC unroll 16
      for (int v = 0; v < C; ++v) acc[r][v] += x * row[v];
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 16
    for (int v = 0; v < C; ++v) as_vector(c + r * c_row + v * LANES<T>) = acc[r][v];
}

// Splits `columns` (whole cache lines) into panels of up to `max_vectors` vectors; calls body(number of vectors, first
// column) for each. The number is a Constant.
template <class T, int max_vectors, class Body>
ASSAY_INLINE void for_each_panel(int columns, Body body) {
  int v = 0, total = columns / LANES<T>;
  if constexpr (max_vectors >= 8)
    for (; v + 8 <= total; v += 8) body(Constant<8>{}, v * LANES<T>);
  if constexpr (max_vectors >= 4)
    for (; v + 4 <= total; v += 4) body(Constant<4>{}, v * LANES<T>);
  for (; v + 2 <= total; v += 2) body(Constant<2>{}, v * LANES<T>);
  for (; v < total; ++v) body(Constant<1>{}, v * LANES<T>);
}

// c (rows, columns) = start + a b, with a (rows, depth) read at a[r * a_row + k * a_step], and b (depth, columns) and c
// by rows. `start` has rows too, or one row for all if start_row = 0; null stands for zeros.
template <class T>
void matmul(int rows, int columns, int depth, const T* a, int64_t a_row, int64_t a_step, const T* b, int64_t b_row,
            T* c, int64_t c_row, const T* start, int64_t start_row) {
  if (rows == 1) {  // wide panels: each vector is one chain of additions, and a chain alone waits for itself
    for_each_panel<T, 8>(columns, [&](auto vectors, int column) {
      tile<T, 1, vectors>(depth, a, a_row, a_step, b + column, b_row, c + column, c_row, start ? start + column : start,
                          start_row);
    });
    return;
  }
  constexpr int max_rows = ASSAY_REGISTERS == 32 ? 12 : 6;
  for_each_panel<T, 2>(columns, [&](auto vectors, int column) {
    int r = 0;
    auto multiply = [&](auto tile_rows) {
      tile<T, tile_rows, vectors>(depth, a + r * a_row, a_row, a_step, b + column, b_row, c + r * c_row + column, c_row,
                                  start ? start + r * start_row + column : start, start_row);
      r += tile_rows;
    };
    while (r + max_rows <= rows) multiply(Constant<max_rows>{});
    if constexpr (max_rows > 6)
      while (r + 6 <= rows) multiply(Constant<6>{});
    while (r + 3 <= rows) multiply(Constant<3>{});
    while (r < rows) multiply(Constant<1>{});
  });
}

// sums (columns,) += the rows of a (rows, columns), each times its scale if `scale` is not null.
template <class T>
ASSAY_INLINE void add_rows(const T* a, int rows, int columns, const T* scale, T* sums) {
  for_each_panel<T, 8>(columns, [&](auto vectors, int column) {
    Vector<T> acc[vectors];
    for (int v = 0; v < vectors; ++v) acc[v] = as_vector(sums + column + v * LANES<T>);
    for (int r = 0; r < rows; ++r) {
      Vector<T> x = splat(scale ? scale[r] : T(1));
      for (int v = 0; v < vectors; ++v) acc[v] += x * as_vector(a + r * int64_t{columns} + column + v * LANES<T>);
    }
    for (int v = 0; v < vectors; ++v) as_vector(sums + column + v * LANES<T>) = acc[v];
  });
}

// The dot product of d and w, whole cache lines.
template <class T>
ASSAY_INLINE T dot(const T* d, const T* w, int count) {
  Vector<T> acc{};
  for (int i = 0; i < count; i += LANES<T>) acc += as_vector(d + i) * as_vector(w + i);
  return sum<T>(acc);
}

// to (columns, to_stride) = the transpose of from (rows, columns), whose rows are `stride` apart; padded with 0.
template <class T>
void transpose(const T* from, int rows, int columns, int stride, T* to, int to_stride) {
  for (int c = 0; c < columns; ++c) {
    T* row = to + c * int64_t{to_stride};
    for (int r = 0; r < rows; ++r) row[r] = from[r * int64_t{stride} + c];
    for (int r = rows; r < to_stride; ++r) row[r] = 0;
  }
}

}  // namespace assay::ASSAY_LEVEL
