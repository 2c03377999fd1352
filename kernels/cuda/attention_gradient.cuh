// What the kernels of attention's backward share (Dao, "FlashAttention-2", 2023). From the saved
// lse and delta_i = sum_d dout_id out_id, for each tile, all recomputed:
//
//   P = exp(S - lse)    dP = dout V^T    dS = P (dP - delta)    dZ = dS * cap'(Z),  Z = Q K^T
//   dV = P^T dout       dQ = scale dZ K      dK = scale dZ^T Q      dbias = dS
//
// With dropout, P in dV and dP are times the multipliers of the forward. One kernel walks over the
// queries of a tile of keys for dK and dV, one over the keys of a tile of queries for dQ, and one
// for dbias: each result is written once and sums have a fixed order, so the same bits come out of
// every run. The price is that S and dP are formed once a kernel.
#pragma once

#include "attention_dropout.cuh"
#include "attention_products.cuh"

namespace pyllm::cuda {

template <class T, int D>
struct BackwardShape {
  static constexpr bool kTensorCores = sizeof(T) == 2;
  // Rows of the block's own tile, 16 a warp, and of the tiles that it walks over.
  static constexpr int kRowWarps = kTensorCores || D <= 128 ? 4 : 2, kRows = 16 * kRowWarps;
  static constexpr int kSteps = kTensorCores ? (D <= 64 ? 64 : 32) : (D <= 64 ? 32 : 16);
  // Blocks that registers must leave room for on a multiprocessor.
  static constexpr int kBlocks = D <= 128 ? 2 : 1;
  static constexpr int kPitch = kTilePitch<T, D>;
  static constexpr int kOwn = kRows * kPitch, kStep = kSteps * kPitch;  // elements of a tile
};

// lse times log2(e), and delta, of a query. A query that sees no key, or is past the last, gets
// +inf: exp2(score - inf) is the 0 it needs.
struct QueryStatistics {
  float lse, delta;
};
PYLLM_DEVICE QueryStatistics query_statistics(const AttentionBackward& b, const AttentionHead& h,
                                              int query) {
  if (query >= h.queries) return {INFINITY, 0.0f};
  const float lse = dev::ldg(head_row(b.forward.lse, b.forward, h) + query);
  return {lse == -INFINITY ? INFINITY : lse * kLog2E,
          dev::ldg(head_row(b.delta, b.forward, h) + query)};
}

// s: products q k^T -> weights, 0 where dropped. ds: products dout v^T -> gradients of the
// products, or of the scores if not kThroughCap. `statistics(n, i)` are those of an element's
// query.
template <int N, bool kThroughCap, bool kKeysAreRows, class Kept, class Statistics>
PYLLM_DEVICE void weights_and_gradients(float (&s)[N / 8][4], float (&ds)[N / 8][4],
                                        const FragmentPlace<kKeysAreRows>& at,
                                        const AttentionHead& h, const Attention& a, bool inside,
                                        const Kept& kept, Statistics&& statistics) {
  const bool drops = a.threshold > 0;
  if (drops) {
    for_fragment<N>([&](int n, int i) {
      ds[n][i] *= kept.keeps(at.query(n, i), at.key(n, i)) ? a.keep_scale : 0.0f;
    });
  }
  for_fragment<N>([&](int n, int i) { ds[n][i] -= statistics(n, i).delta; });
  finish_scores<N>(s, kThroughCap ? ds : nullptr, at, h, a, inside);
  for_fragment<N>([&](int n, int i) {
    s[n][i] = dev::exp2(s[n][i] - statistics(n, i).lse);
    ds[n][i] *= s[n][i];
  });
  if (drops) {
    for_fragment<N>([&](int n, int i) {
      if (!kept.keeps(at.query(n, i), at.key(n, i))) s[n][i] = 0.0f;
    });
  }
}

constexpr int kDeltaThreads = 256, kDeltaLanes = 8;

// delta (batch, heads, queries): eight lanes a row. Reads out and dout once.
template <class T>
__global__ void __launch_bounds__(kDeltaThreads) attention_delta(AttentionBackward b) {
  const Attention& a = b.forward;
  const int64_t index = (int64_t{blockIdx.x} * kDeltaThreads + threadIdx.x) / kDeltaLanes;
  const bool valid = index < a.batch * a.heads * a.queries;
  const int64_t query = index % a.queries, head = index / a.queries % a.heads;
  const int64_t batch = valid ? index / a.queries / a.heads : 0;
  const int dim = valid ? static_cast<int>(a.value_dim) : 0;
  const auto out =
      head_rows(static_cast<const T*>(a.out), a.out_strides, batch, query, head, 1, dim);
  const auto dout =
      head_rows(static_cast<const T*>(b.dout), b.dout_strides, batch, query, head, 1, dim);
  constexpr int kVector = dev::kVecWidth<T>;
  float sum = 0.0f;
  for (int c = threadIdx.x % kDeltaLanes * kVector; c < dim; c += kDeltaLanes * kVector) {
    if (out.vectors && dout.vectors) {
      using Vector = dev::Vec<T, kVector>;
      const Vector x = dev::ldg(reinterpret_cast<const Vector*>(out.data + c));
      const Vector y = dev::ldg(reinterpret_cast<const Vector*>(dout.data + c));
#pragma unroll
      for (int k = 0; k < kVector; ++k) {
        sum = dev::fma(dev::to_float(x.v[k]), dev::to_float(y.v[k]), sum);
      }
    } else {
      for (int k = c; k < c + kVector && k < dim; ++k) {
        sum = dev::fma(dev::to_float(dev::ldg(out.data + k)),
                       dev::to_float(dev::ldg(dout.data + k)), sum);
      }
    }
  }
#pragma unroll
  for (int offset = kDeltaLanes / 2; offset > 0; offset /= 2) {
    sum += __shfl_xor_sync(dev::kFullMask, sum, offset);
  }
  if (valid && threadIdx.x % kDeltaLanes == 0) dev::stg(b.delta + index, sum);
}

}  // namespace pyllm::cuda
