// layer_norm (Ba et al., 2016) and rms_norm (Zhang and Sennrich, 2019), forward.
//
//   s = x + residual,  y = (s - mean) rstd weight + bias
//   layer: mean = avg(s), rstd = 1 / sqrt(avg((s - mean)^2) + eps);  rms: the same with mean = 0
//
// Rows of up to 1,024 elements take a warp, of up to 8,192 a block, held in registers: each array
// is read or written once, and the variance is taken about the mean. Longer rows are read twice,
// mean and variance in one pass (Chan et al., 1979). Statistics are those of s as it is stored.
#pragma once

#include "dtype.h"
#include "norm.h"
#include "rows.cuh"

namespace pyllm::cuda {

constexpr int kNormHeld = 32;  // elements of a row that a thread holds

// Vector i of s = x + residual, written to `sum` where there is a residual.
template <class T, int W>
PYLLM_DEVICE void load_sum(float (&s)[W], const NormForward& a, int64_t row, int64_t i) {
  load_row<T, W>(s, static_cast<const T*>(a.x) + row * a.x_row_stride, i);
  if (a.residual == nullptr) return;
  float r[W];
  load_row<T, W>(r, static_cast<const T*>(a.residual) + row * a.residual_row_stride, i);
#pragma unroll
  for (int k = 0; k < W; ++k) s[k] = dev::to_float(dev::from_float<T>(s[k] + r[k]));
  store_row<T, W>(static_cast<T*>(a.sum) + row * a.sum_row_stride, i, s);
}

template <class T, int W>
PYLLM_DEVICE void store_normalised(float (&s)[W], const NormForward& a, int64_t row, int64_t i,
                                   float mean, float rstd) {
  const bool wide = a.parameter_dtype == kFloat32;
  float p[W];
#pragma unroll
  for (int k = 0; k < W; ++k) s[k] = (s[k] - mean) * rstd;
  if (a.weight != nullptr) {
    load_parameter<T, W>(p, a.weight, wide, i);
#pragma unroll
    for (int k = 0; k < W; ++k) s[k] *= p[k];
  }
  if (a.bias != nullptr) {
    load_parameter<T, W>(p, a.bias, wide, i);
#pragma unroll
    for (int k = 0; k < W; ++k) s[k] += p[k];
  }
  store_row<T, W>(static_cast<T*>(a.y) + row * a.y_row_stride, i, s);
}

PYLLM_DEVICE void store_statistics(const NormForward& a, int64_t row, float mean, float rstd) {
  if (a.mean != nullptr && a.rms == 0) dev::stg(a.mean + row, mean);
  if (a.rstd != nullptr) dev::stg(a.rstd + row, rstd);
}

// Room for three blocks of 256 threads: with a thought for four the compiler spills.
template <class T, int W, int kThreads>
__global__ void __launch_bounds__(RowTeam<kThreads>::kBlock, W > 1 ? 3 : 0)
    norm_held(NormForward a) {
  using Team = RowTeam<kThreads>;
  constexpr int kVectors = kNormHeld / W;
  PYLLM_SHARED(float, scratch, Team::kScratch);
  const int64_t row = Team::row(), vectors = a.n / W;
  if (row >= a.rows) return;
  const float count = static_cast<float>(a.n);
  float s[kVectors][W], mean = 0.0f, squares = 0.0f;
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
    const int64_t i = Team::rank() + k * kThreads;
    if (i < vectors) load_sum<T, W>(s[k], a, row, i);
  }
  if (a.rms == 0) {
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
#pragma unroll
      for (int j = 0; j < W; ++j) mean += Team::rank() + k * kThreads < vectors ? s[k][j] : 0.0f;
    }
    mean = Team::template reduce<dev::Sum>(mean, scratch) / count;
  }
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
#pragma unroll
    for (int j = 0; j < W; ++j) {
      const float d = Team::rank() + k * kThreads < vectors ? s[k][j] - mean : 0.0f;
      squares += d * d;
    }
  }
  squares = Team::template reduce<dev::Sum>(squares, scratch);
  const float rstd = dev::rsqrt(squares / count + a.eps);
  if (Team::rank() == 0) store_statistics(a, row, mean, rstd);
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
    const int64_t i = Team::rank() + k * kThreads;
    if (i < vectors) store_normalised<T, W>(s[k], a, row, i, mean, rstd);
  }
}

// Mean and sum of squares about it, of `count` numbers.
struct Moments {
  float count = 0.0f, mean = 0.0f, squares = 0.0f;

  PYLLM_DEVICE void join(float other_count, float other_mean, float other_squares) {
    const float total = count + other_count;
    if (total == 0.0f) return;
    const float apart = other_mean - mean, share = other_count / total;
    squares += other_squares + apart * apart * count * share;
    mean += apart * share;
    count = total;
  }
};

template <class T, int W, int kThreads>
__global__ void __launch_bounds__(kThreads) norm_long(NormForward a) {
  PYLLM_SHARED(float, scratch, kThreads / dev::kWarpSize);
  const int64_t row = blockIdx.x, vectors = a.n / W;
  const float total = static_cast<float>(a.n);
  Moments m;
  float s[W];
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    load_sum<T, W>(s, a, row, i);
    float mean = 0.0f, squares = 0.0f;
    if (a.rms == 0) {
      for (int k = 0; k < W; ++k) mean += s[k] * (1.0f / W);
    }
    for (int k = 0; k < W; ++k) squares += (s[k] - mean) * (s[k] - mean);
    m.join(W, mean, squares);
  }
  // rms: all means are 0, and joining them keeps the plain sum of squares.
  const float mean = dev::block_reduce<dev::Sum, kThreads>(m.mean * m.count, scratch) / total;
  const float apart = m.mean - mean;
  const float squares =
      dev::block_reduce<dev::Sum, kThreads>(m.squares + apart * apart * m.count, scratch);
  const float rstd = dev::rsqrt(squares / total + a.eps);
  if (threadIdx.x == 0) store_statistics(a, row, mean, rstd);
  const T* again = a.residual != nullptr ? static_cast<const T*>(a.sum) + row * a.sum_row_stride
                                         : static_cast<const T*>(a.x) + row * a.x_row_stride;
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    load_row<T, W>(s, again, i);
    store_normalised<T, W>(s, a, row, i, mean, rstd);
  }
}

}  // namespace pyllm::cuda
