// Gradients of layer_norm and rms_norm. With h = (x - mean) rstd and u = dy weight:
//
//   dx = rstd (u - avg(u) - h avg(u h)) + grad_sum   (rms: no avg(u))
//   dweight = sum over rows of dy h,  dbias = sum over rows of dy
//
// Rows of up to 8,192 elements: a block walks over every partial_rows-th row, reads dy and x once,
// writes dx, and keeps its part of dweight and dbias in registers; it leaves them in `partial`, and
// column_sums adds those up. Longer rows: `partial` comes from a pass over dy and x of its own,
// before dx (which may take their place), and dx reads them twice.
#pragma once

#include "columns.cuh"
#include "dtype.h"
#include "norm.h"
#include "rows.cuh"

namespace pyllm::cuda {

// A vector of one row: u, h and dy.
template <class T, int W>
struct NormVector {
  float u[W], h[W], dy[W];

  PYLLM_DEVICE void load(const NormBackward& a, int64_t row, int64_t i, float mean, float rstd) {
    load_row<T, W>(dy, static_cast<const T*>(a.dy) + row * a.dy_row_stride, i);
    load_row<T, W>(h, static_cast<const T*>(a.x) + row * a.x_row_stride, i);
#pragma unroll
    for (int k = 0; k < W; ++k) h[k] = (h[k] - mean) * rstd;
    weigh(a, i);
  }
  PYLLM_DEVICE void weigh(const NormBackward& a, int64_t i) {
    if (a.weight != nullptr) load_parameter<T, W>(u, a.weight, a.parameter_dtype == kFloat32, i);
#pragma unroll
    for (int k = 0; k < W; ++k) u[k] = a.weight != nullptr ? u[k] * dy[k] : dy[k];
  }
  PYLLM_DEVICE void add_to(float (&sums)[2]) const {
#pragma unroll
    for (int k = 0; k < W; ++k) {
      sums[0] += u[k];
      sums[1] += u[k] * h[k];
    }
  }
  PYLLM_DEVICE void store_dx(const NormBackward& a, int64_t row, int64_t i, float average_u,
                             float average_uh, float rstd) {
    float more[W] = {};
    if (a.grad_sum != nullptr) {
      load_row<T, W>(more, static_cast<const T*>(a.grad_sum) + row * a.grad_sum_row_stride, i);
    }
#pragma unroll
    for (int k = 0; k < W; ++k) u[k] = rstd * (u[k] - average_u - h[k] * average_uh) + more[k];
    store_row<T, W>(static_cast<T*>(a.dx) + row * a.dx_row_stride, i, u);
  }
};

// `sums` become the averages that dx takes.
template <int kThreads>
PYLLM_DEVICE void norm_averages(float (&sums)[2], const NormBackward& a,
                                const dev::Shared<float>& scratch) {
  dev::block_sums<kThreads>(sums, scratch);
  sums[0] = a.mean != nullptr ? sums[0] / static_cast<float>(a.n) : 0.0f;
  sums[1] /= static_cast<float>(a.n);
}

template <class T, int W, int kThreads, int kVectors>
__global__ void __launch_bounds__(kThreads, 512 / kThreads) norm_backward_held(NormBackward a) {
  PYLLM_SHARED(float, scratch, 2 * kThreads / dev::kWarpSize);
  const int64_t vectors = a.n / W;
  float dweight[kVectors][W] = {}, dbias[kVectors][W] = {};
  for (int64_t row = blockIdx.x; row < a.rows; row += gridDim.x) {
    const float mean = a.mean != nullptr ? dev::ldg(a.mean + row) : 0.0f;
    const float rstd = dev::ldg(a.rstd + row);
    NormVector<T, W> v[kVectors];
    float sums[2] = {};
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int64_t i = threadIdx.x + k * kThreads;
      if (i >= vectors) continue;
      v[k].load(a, row, i, mean, rstd);
      v[k].add_to(sums);
#pragma unroll
      for (int j = 0; j < W; ++j) {
        dweight[k][j] += v[k].dy[j] * v[k].h[j];
        dbias[k][j] += v[k].dy[j];
      }
    }
    norm_averages<kThreads>(sums, a, scratch);
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int64_t i = threadIdx.x + k * kThreads;
      if (i < vectors) v[k].store_dx(a, row, i, sums[0], sums[1], rstd);
    }
  }
  if (a.dweight == nullptr) return;
  float* mine = a.partial + blockIdx.x * a.n;
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
    const int64_t i = threadIdx.x + k * kThreads;
    if (i >= vectors) continue;
    store_row<float, W>(mine, i, dweight[k]);
    if (a.dbias != nullptr) store_row<float, W>(mine + a.partial_rows * a.n, i, dbias[k]);
  }
}

template <class T, int W, int kThreads>
__global__ void __launch_bounds__(kThreads) norm_backward_long(NormBackward a) {
  PYLLM_SHARED(float, scratch, 2 * kThreads / dev::kWarpSize);
  const int64_t row = blockIdx.x, vectors = a.n / W;
  const float mean = a.mean != nullptr ? dev::ldg(a.mean + row) : 0.0f;
  const float rstd = dev::ldg(a.rstd + row);
  NormVector<T, W> v;
  float sums[2] = {};
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    v.load(a, row, i, mean, rstd);
    v.add_to(sums);
  }
  norm_averages<kThreads>(sums, a, scratch);
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    v.load(a, row, i, mean, rstd);
    v.store_dx(a, row, i, sums[0], sums[1], rstd);
  }
}

// Row blockIdx.y of `partial`, for the columns of block blockIdx.x.
template <class T, int W, int kThreads>
__global__ void __launch_bounds__(kThreads) norm_partial_sums(NormBackward a) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= a.n / W) return;
  float dweight[W] = {}, dbias[W] = {}, dy[W], x[W];
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const float mean = a.mean != nullptr ? dev::ldg(a.mean + row) : 0.0f;
    const float rstd = dev::ldg(a.rstd + row);
    load_row<T, W>(dy, static_cast<const T*>(a.dy) + row * a.dy_row_stride, i);
    load_row<T, W>(x, static_cast<const T*>(a.x) + row * a.x_row_stride, i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      dweight[k] += dy[k] * ((x[k] - mean) * rstd);
      dbias[k] += dy[k];
    }
  }
  store_row<float, W>(a.partial + blockIdx.y * a.n, i, dweight);
  if (a.dbias != nullptr) {
    store_row<float, W>(a.partial + (a.partial_rows + blockIdx.y) * a.n, i, dbias);
  }
}

}  // namespace pyllm::cuda
