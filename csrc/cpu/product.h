// Matrix products of any storage type and stride, with something done to each finished tile.
//
//   c = alpha a b (+ c, if accumulate), a m x k, b k x n, then epilogue(tile) for every tile of c
//
// The one door to matrix multiplication for kernels that work on stored arrays.
#pragma once

#include "core/dtype.h"
#include "core/isa.h"
#include "core/parallel.h"

namespace pyllm {

struct Matrix {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, columns = 0;
  int64_t row_stride = 0, column_stride = 1;  // in elements

  Matrix transposed() const { return {data, dtype, columns, rows, column_stride, row_stride}; }
  Matrix block(int64_t row, int64_t column, int64_t height, int64_t width) const {
    const int64_t offset = row * row_stride + column * column_stride;
    return {static_cast<char*>(data) + offset * int64_t(size_of(dtype)),
            dtype,
            height,
            width,
            row_stride,
            column_stride};
  }
};

// A finished part of c in the compute type (double for float64, else float).
struct Tile {
  int64_t row, column;  // of its first element in c
  int64_t rows, columns;
  void* data;
  int64_t stride;  // from one row to the next; columns are adjacent
};

struct Product {
  Matrix a, b, c;  // a and b of one dtype; c of the same, or float32
  double alpha = 1.0;
  bool accumulate = false;
  const FunctionRef<void(const Tile&)>* epilogue = nullptr;
};

// On all threads of the pool; from inside a task, on the calling thread.
PYLLM_KERNEL(product, (const Product& product));

}  // namespace pyllm
