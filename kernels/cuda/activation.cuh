// Activations of the rows of a matrix: y = act(x + bias), dx = dy act'(x + bias).
//
// A thread keeps a vector of W columns, so that it reads their bias once and can sum dbias in
// registers, and walks over every gridDim.y-th row. Sums over rows go to row blockIdx.y of
// `partial`; column_sums adds those up in a fixed order. Each element moves once.
#pragma once

#include "activations.cuh"
#include "rows.cuh"

namespace pyllm::cuda {

constexpr int kActivationThreads = 128;

template <class T, int W>
PYLLM_DEVICE void load_bias(float (&to)[W], const void* bias, int64_t i) {
#pragma unroll
  for (int k = 0; k < W; ++k) to[k] = 0.0f;
  if (bias != nullptr) load_row<T, W>(to, static_cast<const T*>(bias), i);
}

template <class T, int W>
__global__ void __launch_bounds__(kActivationThreads) activation_forward(ActivationForward a) {
  const int64_t i = int64_t{blockIdx.x} * kActivationThreads + threadIdx.x;
  if (i >= a.n / W) return;
  float bias[W], x[W];
  load_bias<T, W>(bias, a.bias, i);
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    load_row<T, W>(x, static_cast<const T*>(a.x) + row * a.x_row_stride, i);
#pragma unroll
    for (int k = 0; k < W; ++k) x[k] = Activated(x[k] + bias[k], a.kind).value;
    store_row<T, W>(static_cast<T*>(a.y) + row * a.y_row_stride, i, x);
  }
}

template <class T, int W>
__global__ void __launch_bounds__(kActivationThreads) activation_backward(ActivationBackward a) {
  const int64_t i = int64_t{blockIdx.x} * kActivationThreads + threadIdx.x;
  if (i >= a.n / W) return;
  float bias[W], x[W], dy[W], sum[W] = {};
  load_bias<T, W>(bias, a.bias, i);
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    load_row<T, W>(x, static_cast<const T*>(a.x) + row * a.x_row_stride, i);
    load_row<T, W>(dy, static_cast<const T*>(a.dy) + row * a.dy_row_stride, i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      dy[k] *= Activated(x[k] + bias[k], a.kind).slope;
      sum[k] += dy[k];
    }
    store_row<T, W>(static_cast<T*>(a.dx) + row * a.dx_row_stride, i, dy);
  }
  if (a.dbias != nullptr) store_row<float, W>(a.partial + blockIdx.y * a.n, i, sum);
}

}  // namespace pyllm::cuda
