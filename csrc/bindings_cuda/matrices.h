// Arrays as the matrices of a product.
#pragma once

#include "bindings_cuda/cublaslt.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {

// The last two axes of `a` as a matrix; copied where neither stride is 1.
Matrices read_matrix(Call& call, const Array& a);

// Rows of n elements as one matrix.
inline Matrices matrix_of(const Rows& r, DType dtype) {
  return {r.data, dtype, r.rows, r.n, r.stride, 1, 0};
}

// Whether a product may read a matrix of these strides where it lies.
bool readable(const Array& a);

// c = a b (+ c): batch axes, strides and sizes of 0 as they come. c (batch..., m, n).
void multiply_stack(Call& call, const Array& a, const Array& b, const Array& c, bool accumulate);

// (1, n): its product with a matrix sums over rows.
Array row_of_ones(Call& call, int64_t n, DType dtype);

}  // namespace pyllm::bind_cuda
