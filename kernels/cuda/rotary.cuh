// Rotary position embedding:
//
//   forward   y1 = x1 cos - x2 sin,  y2 = x2 cos + x1 sin     backward: with -sin
//
// A block takes one position of one sequence: it widens that row of the tables into shared memory
// once, and all heads read it there. Each thread turns W pairs of one head at a time (half-split),
// or the W / 2 pairs in W neighbouring features (interleaved). x is read and y written once.
#pragma once

#include "indices.cuh"
#include "rotary.h"
#include "rows.cuh"

namespace pyllm::cuda {

constexpr int kRotaryThreads = 128;

// K floats of shared memory from `from` on, in accesses of up to 16 bytes.
template <int K>
PYLLM_DEVICE void load_shared(float (&to)[K], const dev::Shared<float>& from) {
  constexpr int kPiece = K < 4 ? K : 4;
#pragma unroll
  for (int p = 0; p < K / kPiece; ++p) {
    const auto v = dev::lds(from.as<dev::Vec<float, kPiece>>() + p);
#pragma unroll
    for (int k = 0; k < kPiece; ++k) to[p * kPiece + k] = v.v[k];
  }
}

// Vector i of the W-wide vectors of one head.
template <class T, int W>
PYLLM_DEVICE void rotate_halves(const T* x, T* y, int64_t half, int i,
                                const dev::Shared<float>& cos, const dev::Shared<float>& sin) {
  float x1[W], x2[W], c[W], s[W];
  load_row(x1, x, i);
  load_row(x2, x + half, i);
  load_shared(c, cos + i * W);
  load_shared(s, sin + i * W);
#pragma unroll
  for (int k = 0; k < W; ++k) {
    const float first = x1[k];
    x1[k] = first * c[k] - x2[k] * s[k];
    x2[k] = x2[k] * c[k] + first * s[k];
  }
  store_row(y, i, x1);
  store_row(y + half, i, x2);
}

template <class T, int W>
PYLLM_DEVICE void rotate_pairs(const T* x, T* y, int i, const dev::Shared<float>& cos,
                               const dev::Shared<float>& sin) {
  constexpr int kPiece = W == 2 ? 1 : W;  // a lone pair may start anywhere
  float v[W], c[W / 2], s[W / 2];
  load_pieces<kPiece>(v, x, i);
  load_shared(c, cos + i * (W / 2));
  load_shared(s, sin + i * (W / 2));
#pragma unroll
  for (int k = 0; k < W / 2; ++k) {
    const float first = v[2 * k];
    v[2 * k] = first * c[k] - v[2 * k + 1] * s[k];
    v[2 * k + 1] = v[2 * k + 1] * c[k] + first * s[k];
  }
  store_pieces<kPiece>(y, i, v);
}

template <class T, int W, bool kInterleaved>
__global__ void __launch_bounds__(kRotaryThreads, 4) rotary(Rotary a) {
  PYLLM_DYNAMIC_SHARED(float, tables);
  const int half = static_cast<int>(a.half);
  const auto cos = tables.part(half), sin = (tables + half).part(half);
  const int64_t b = blockIdx.x / a.seq, t = blockIdx.x % a.seq;
  const int64_t position =
      a.positions == nullptr ? t
                             : load_index(a.positions, a.position_dtype,
                                          b * a.position_batch_stride + t * a.position_seq_stride);
  const bool known = position >= 0 && position < a.length;
  const bool wide = a.table_dtype == kFloat32;
  for (int i = threadIdx.x; i < half; i += kRotaryThreads) {
    float c[1] = {NAN}, s[1] = {NAN};
    if (known) {
      load_parameter<T, 1>(c, a.cos, wide, position * a.table_row_stride + i);
      load_parameter<T, 1>(s, a.sin, wide, position * a.table_row_stride + i);
    }
    dev::sts(cos + i, c[0]);
    dev::sts(sin + i, a.inverse ? -s[0] : s[0]);
  }
  __syncthreads();

  const T* x = static_cast<const T*>(a.x) + b * a.x_batch_stride + t * a.x_seq_stride;
  T* y = static_cast<T*>(a.y) + b * a.y_batch_stride + t * a.y_seq_stride;
  const int per_head = (kInterleaved ? 2 * half : half) / W;
  const int heads = static_cast<int>(a.heads);
  for (int item = threadIdx.x; item < heads * per_head; item += kRotaryThreads) {
    const int head = item / per_head, i = item % per_head;
    const T* from = x + head * a.x_head_stride;
    T* to = y + head * a.y_head_stride;
    if constexpr (kInterleaved) {
      rotate_pairs<T, W>(from, to, i, cos, sin);
    } else {
      rotate_halves<T, W>(from, to, half, i, cos, sin);
    }
  }
  const int rest = static_cast<int>(a.dim) - 2 * half;
  if (x == y || rest == 0) return;
  for (int item = threadIdx.x; item < heads * rest; item += kRotaryThreads) {
    const int head = item / rest, i = 2 * half + item % rest;
    dev::stg(y + head * a.y_head_stride + i, dev::ldg(x + head * a.x_head_stride + i));
  }
}

}  // namespace pyllm::cuda
