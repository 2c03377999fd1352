// Softmax over rows of n elements, one block a row.
//
//   forward    y_i = exp(s_i - m) / sum_j exp(s_j - m),   s = x / temperature,  m = max s
//              log: y_i = s_i - m - log(sum_j exp(s_j - m))
//   backward   dx_i = y_i (dy_i - sum_j dy_j y_j) / temperature
//              log: dx_i = (dy_i - exp(y_i) sum_j dy_j) / temperature
//
// Up to kThreads * kHeld elements a row is held in registers: read once, written once, which is all
// the traffic there must be. Longer rows are read twice: once for maximum and sum together (the
// online softmax of Milakov and Gimelshein, 2018), once to write. A row that is all -inf has
// probabilities 0. Elements move in vectors of W, 16 bytes where rows are aligned and W divides n.
#pragma once

#include "rows.cuh"
#include "softmax.h"

namespace pyllm::cuda {

constexpr int kSoftmaxThreads = 256;

// What a row's elements are shifted and scaled by once its maximum and sum are known.
struct SoftmaxRow {
  float top, scale, log_sum;
  PYLLM_DEVICE SoftmaxRow(float maximum, float sum)
      : top(maximum == -INFINITY ? 0.0f : maximum),
        scale(sum == 0.0f ? 0.0f : 1.0f / sum),
        log_sum(dev::log(sum)) {}
  PYLLM_DEVICE float value(float s, bool log) const {
    return log ? (s == -INFINITY ? s : s - top - log_sum) : dev::exp(s - top) * scale;
  }
};

template <class T, int W, int kVectors>
__global__ void __launch_bounds__(kSoftmaxThreads) softmax_held(SoftmaxForward a) {
  PYLLM_SHARED(float, scratch, kSoftmaxThreads / dev::kWarpSize);
  const T* x = static_cast<const T*>(a.x) + blockIdx.x * a.x_row_stride;
  T* y = static_cast<T*>(a.y) + blockIdx.x * a.y_row_stride;
  const float inverse = 1.0f / a.temperature;
  const int64_t vectors = a.n / W;
  float s[kVectors][W];
  float maximum = -INFINITY;
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
    const int64_t i = threadIdx.x + k * kSoftmaxThreads;
    if (i < vectors) load_row<T, W>(s[k], x, i);
#pragma unroll
    for (int j = 0; j < W; ++j) {
      s[k][j] = i < vectors ? s[k][j] * inverse : -INFINITY;
      maximum = dev::max(maximum, s[k][j]);
    }
  }
  maximum = dev::block_reduce<dev::Max, kSoftmaxThreads>(maximum, scratch);
  const float top = maximum == -INFINITY ? 0.0f : maximum;
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
#pragma unroll
    for (int j = 0; j < W; ++j) sum += dev::exp(s[k][j] - top);
  }
  const SoftmaxRow row(maximum, dev::block_reduce<dev::Sum, kSoftmaxThreads>(sum, scratch));
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
    const int64_t i = threadIdx.x + k * kSoftmaxThreads;
#pragma unroll
    for (int j = 0; j < W; ++j) s[k][j] = row.value(s[k][j], a.log != 0);
    if (i < vectors) store_row<T, W>(y, i, s[k]);
  }
}

template <class T, int W>
__global__ void __launch_bounds__(kSoftmaxThreads) softmax_online(SoftmaxForward a) {
  PYLLM_SHARED(float, scratch, kSoftmaxThreads / dev::kWarpSize);
  const T* x = static_cast<const T*>(a.x) + blockIdx.x * a.x_row_stride;
  T* y = static_cast<T*>(a.y) + blockIdx.x * a.y_row_stride;
  const float inverse = 1.0f / a.temperature;
  const int64_t vectors = a.n / W;
  float maximum = -INFINITY, sum = 0.0f, s[W];
  for (int64_t i = threadIdx.x; i < vectors; i += kSoftmaxThreads) {
    load_row<T, W>(s, x, i);
    float higher = maximum;
    for (int j = 0; j < W; ++j) higher = dev::max(higher, s[j] * inverse);
    const float top = higher == -INFINITY ? 0.0f : higher;
    sum *= dev::exp(maximum - top);
    for (int j = 0; j < W; ++j) sum += dev::exp(s[j] * inverse - top);
    maximum = higher;
  }
  const float highest = dev::block_reduce<dev::Max, kSoftmaxThreads>(maximum, scratch);
  sum *= dev::exp(maximum - (highest == -INFINITY ? 0.0f : highest));
  const SoftmaxRow row(highest, dev::block_reduce<dev::Sum, kSoftmaxThreads>(sum, scratch));
  for (int64_t i = threadIdx.x; i < vectors; i += kSoftmaxThreads) {
    load_row<T, W>(s, x, i);
    for (int j = 0; j < W; ++j) s[j] = row.value(s[j] * inverse, a.log != 0);
    store_row<T, W>(y, i, s);
  }
}

// Blocks that registers must leave room for; 0 lets the compiler choose, which for these spills to
// have more.
template <int W, int kVectors>
constexpr int kGradientBlocks = W == 8 && kVectors == 0 ? 4 : 0;

// Holds kVectors vectors of dy and y a thread; with kVectors = 0 it reads them twice instead.
template <class T, int W, int kVectors>
__global__ void __launch_bounds__(kSoftmaxThreads, kGradientBlocks<W, kVectors>)
    softmax_gradient(SoftmaxBackward a) {
  PYLLM_SHARED(float, scratch, kSoftmaxThreads / dev::kWarpSize);
  const T* dy = static_cast<const T*>(a.dy) + blockIdx.x * a.dy_row_stride;
  const T* y = static_cast<const T*>(a.y) + blockIdx.x * a.y_row_stride;
  T* dx = static_cast<T*>(a.dx) + blockIdx.x * a.dx_row_stride;
  const float inverse = 1.0f / a.temperature;
  const bool log = a.log != 0;
  const int64_t vectors = a.n / W;
  const auto gradient = [&](float g, float p, float sum) {
    return log ? (g - dev::exp(p) * sum) * inverse : p * (g - sum) * inverse;
  };
  float sum = 0.0f;
  if constexpr (kVectors > 0) {
    float g[kVectors][W], p[kVectors][W];
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int64_t i = threadIdx.x + k * kSoftmaxThreads;
      if (i >= vectors) continue;
      load_row<T, W>(g[k], dy, i);
      load_row<T, W>(p[k], y, i);
#pragma unroll
      for (int j = 0; j < W; ++j) sum += log ? g[k][j] : g[k][j] * p[k][j];
    }
    sum = dev::block_reduce<dev::Sum, kSoftmaxThreads>(sum, scratch);
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int64_t i = threadIdx.x + k * kSoftmaxThreads;
      if (i >= vectors) continue;
#pragma unroll
      for (int j = 0; j < W; ++j) g[k][j] = gradient(g[k][j], p[k][j], sum);
      store_row<T, W>(dx, i, g[k]);
    }
  } else {
    float g[W], p[W];
    for (int64_t i = threadIdx.x; i < vectors; i += kSoftmaxThreads) {
      load_row<T, W>(g, dy, i);
      load_row<T, W>(p, y, i);
      for (int j = 0; j < W; ++j) sum += log ? g[j] : g[j] * p[j];
    }
    sum = dev::block_reduce<dev::Sum, kSoftmaxThreads>(sum, scratch);
    for (int64_t i = threadIdx.x; i < vectors; i += kSoftmaxThreads) {
      load_row<T, W>(g, dy, i);
      load_row<T, W>(p, y, i);
      for (int j = 0; j < W; ++j) g[j] = gradient(g[j], p[j], sum);
      store_row<T, W>(dx, i, g);
    }
  }
}

}  // namespace pyllm::cuda
