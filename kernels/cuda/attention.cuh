// FlashAttention-2 forward (Dao, 2023): out = softmax(scale q k^T) v without forming the scores.
//
// A block takes 64 queries of one head, 16 a warp, and walks over tiles of keys that any of them
// sees. Tiles of K and V come by cp.async into one of two buffers while the other is computed on.
// For each tile a warp forms S = Q K^T by tensor-core products, rescales what it has by exp(m - m')
// for the new row maximum m' (online softmax), and adds P V, with P = exp(S - m') going from the
// accumulators of the first product straight into the operands of the second. It writes out and
// lse = m + log(sum), which backward needs. A query that sees no key has out 0 and lse -inf.
//
// Reads Q once, and K and V once a tile of queries. Rows of shared tiles are 16 bytes longer than D
// elements, an odd number of 16-byte units, so that the 8 rows of an ldmatrix tile lie in different
// banks; only the copies into tiles of D = 32 and 96 meet conflicts. Columns from head_dim to D are
// zeros. Scores are kept times log2(e), for exp2.
#pragma once

#include "attention.h"
#include "device.cuh"

namespace pyllm::cuda {

constexpr int kAttentionWarps = 4, kAttentionThreads = 32 * kAttentionWarps;
constexpr int kAttentionQueries = 16 * kAttentionWarps;

template <int D>
struct AttentionShape {
  static constexpr int kKeys = D <= 128 ? 64 : 32;
  static constexpr int kPitch = D + 8;
  static constexpr bool kHoldQ = D <= 128;  // beyond, the fragments of Q do not fit in registers
  static constexpr int kQElements = kAttentionQueries * kPitch, kTileElements = kKeys * kPitch;
  static constexpr size_t kSharedBytes = 2 * (kQElements + 4 * size_t{kTileElements});
};

// The rows [first, first + kRows) of one head, zeros past `rows` and past head_dim.
template <class T, int D, int kRows>
PYLLM_DEVICE void fetch_tile(const dev::Shared<T>& to, const T* from, int64_t seq_stride,
                             int64_t first, int64_t rows, int64_t head_dim) {
  constexpr int kVectors = D / 8;
  for (int i = threadIdx.x; i < kRows * kVectors; i += kAttentionThreads) {
    const int row = i / kVectors, column = i % kVectors * 8;
    const bool valid = first + row < rows && column < head_dim;
    dev::cp_async16(to + (row * (D + 8) + column),
                    valid ? from + (first + row) * seq_stride + column : from, valid);
  }
}

// What a thread keeps of its warp's 16 queries: rows g and g + 8 of the fragments, g = lane / 4.
template <int D>
struct AttentionState {
  float out[D / 8][4] = {};
  float top[2] = {-INFINITY, -INFINITY};
  float sum[2] = {};  // of this thread's columns only, until the end
};

// Scores of this tile -> probabilities relative to the new maximum; rescales the state.
template <int D, int kKeys>
PYLLM_DEVICE void online_softmax(float (&s)[kKeys / 8][4], AttentionState<D>& state) {
  for (int half = 0; half < 2; ++half) {
    float top = state.top[half];
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
      top = dev::max(top, dev::max(s[n][2 * half], s[n][2 * half + 1]));
    }
    top = dev::max(top, __shfl_xor_sync(dev::kFullMask, top, 1));
    top = dev::max(top, __shfl_xor_sync(dev::kFullMask, top, 2));
    const float shift = top == -INFINITY ? 0.0f : top;
    const float rescale = dev::exp2(state.top[half] - shift);
    state.top[half] = top;
    float sum = 0.0f;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        s[n][i] = dev::exp2(s[n][i] - shift);
        sum += s[n][i];
      }
    }
    state.sum[half] = state.sum[half] * rescale + sum;
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      state.out[n][2 * half] *= rescale;
      state.out[n][2 * half + 1] *= rescale;
    }
  }
}

template <class T, int D>
__global__ void __launch_bounds__(kAttentionThreads) attention_forward(AttentionForward a) {
  using Shape = AttentionShape<D>;
  constexpr int kKeys = Shape::kKeys, kPitch = Shape::kPitch;
  constexpr float kLog2E = 1.44269504088896f, kLn2 = 0.693147180559945f;
  PYLLM_DYNAMIC_SHARED(T, shared);
  const auto q_tile = shared.part(Shape::kQElements);
  const auto k_tiles = (shared + Shape::kQElements).part(2 * Shape::kTileElements);
  const auto v_tiles =
      (shared + (Shape::kQElements + 2 * Shape::kTileElements)).part(2 * Shape::kTileElements);

  // The last tile of queries sees the most keys under a causal mask: it goes first.
  const int64_t first_query = int64_t{gridDim.x - 1 - blockIdx.x} * kAttentionQueries;
  const int64_t head = blockIdx.y, batch = blockIdx.z, kv_head = head / (a.heads / a.kv_heads);
  const T* q = static_cast<const T*>(a.q) + batch * a.q_strides[0] + head * a.q_strides[2];
  const T* k = static_cast<const T*>(a.k) + batch * a.k_strides[0] + kv_head * a.k_strides[2];
  const T* v = static_cast<const T*>(a.v) + batch * a.v_strides[0] + kv_head * a.v_strides[2];
  T* out = static_cast<T*>(a.out) + batch * a.out_strides[0] + head * a.out_strides[2];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4 * 2;

  // Keys that some query of the tile sees.
  const int64_t shift = a.keys - a.queries, past = first_query + kAttentionQueries < a.queries
                                                       ? first_query + kAttentionQueries
                                                       : a.queries;
  const int64_t lowest = first_query + shift - a.left, highest = past - 1 + shift + a.right;
  const int64_t first_key = lowest > 0 ? lowest / kKeys * kKeys : 0;
  const int64_t end_key = highest + 1 < a.keys ? highest + 1 : a.keys;

  const auto fetch_keys = [&](int64_t key, int buffer) {
    const int offset = buffer * Shape::kTileElements;
    fetch_tile<T, D, kKeys>(k_tiles + offset, k, a.k_strides[1], key, a.keys, a.head_dim);
    fetch_tile<T, D, kKeys>(v_tiles + offset, v, a.v_strides[1], key, a.keys, a.head_dim);
  };
  fetch_tile<T, D, kAttentionQueries>(q_tile, q, a.q_strides[1], first_query, a.queries,
                                      a.head_dim);
  if (first_key < end_key) fetch_keys(first_key, 0);
  dev::cp_commit();

  // Lane l gives row l % 16 and column half l / 16 of a 16 x 16 operand that is not transposed.
  const auto q_rows = q_tile + ((warp * 16 + lane % 16) * kPitch + lane / 16 * 8);
  uint32_t q_held[Shape::kHoldQ ? D / 16 : 1][4];
  AttentionState<D> state;
  int buffer = 0;
  for (int64_t key = first_key; key < end_key; key += kKeys, buffer ^= 1) {
    if (key + kKeys < end_key) fetch_keys(key + kKeys, buffer ^ 1);
    dev::cp_commit();
    dev::cp_wait<1>();
    __syncthreads();
    if (Shape::kHoldQ && key == first_key) {
#pragma unroll
      for (int d = 0; d < D / 16; ++d) {
        dev::ldmatrix_x4(q_held[Shape::kHoldQ ? d : 0], q_rows + d * 16);
      }
    }

    // S = Q K^T: K is (keys, d) in shared memory, which is what b's columns want untransposed.
    const auto k_rows = k_tiles + (buffer * Shape::kTileElements +
                                   (lane % 8 + lane / 16 * 8) * kPitch + lane / 8 % 2 * 8);
    float s[kKeys / 8][4] = {};
#pragma unroll
    for (int d = 0; d < D / 16; ++d) {
      uint32_t q_now[4];
      if constexpr (!Shape::kHoldQ) dev::ldmatrix_x4(q_now, q_rows + d * 16);
      const auto& q_fragment = Shape::kHoldQ ? q_held[Shape::kHoldQ ? d : 0] : q_now;
#pragma unroll
      for (int n = 0; n < kKeys / 16; ++n) {
        uint32_t r[4];
        dev::ldmatrix_x4(r, k_rows + (n * 16 * kPitch + d * 16));
        const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
        dev::mma_m16n8k16<T>(s[2 * n], q_fragment, low);
        dev::mma_m16n8k16<T>(s[2 * n + 1], q_fragment, high);
      }
    }

#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int64_t j = key + n * 8 + pair + i % 2;
        const int64_t p = first_query + warp * 16 + group + i / 2 * 8 + shift;
        float score = s[n][i] * a.scale;
        if (a.softcap > 0.0f) score = a.softcap * dev::tanh(score / a.softcap);
        const bool seen = j < a.keys && j >= p - a.left && j <= p + a.right;
        s[n][i] = seen ? score * kLog2E : -INFINITY;
      }
    }
    online_softmax<D, kKeys>(s, state);

    // out += P V: V is (keys, d), so b's columns are read transposed.
    const auto v_rows =
        v_tiles + (buffer * Shape::kTileElements + lane % 16 * kPitch + lane / 16 * 8);
#pragma unroll
    for (int n = 0; n < kKeys / 16; ++n) {
      const uint32_t p[4] = {dev::pack2<T>(s[2 * n][0], s[2 * n][1]),
                             dev::pack2<T>(s[2 * n][2], s[2 * n][3]),
                             dev::pack2<T>(s[2 * n + 1][0], s[2 * n + 1][1]),
                             dev::pack2<T>(s[2 * n + 1][2], s[2 * n + 1][3])};
#pragma unroll
      for (int d = 0; d < D / 16; ++d) {
        uint32_t r[4];
        dev::ldmatrix_x4_trans(r, v_rows + (n * 16 * kPitch + d * 16));
        const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
        dev::mma_m16n8k16<T>(state.out[2 * d], p, low);
        dev::mma_m16n8k16<T>(state.out[2 * d + 1], p, high);
      }
    }
    __syncthreads();  // the next round writes the buffer that was just read
  }
  dev::cp_wait<0>();
  __syncthreads();

  // Through the warp's own rows of the Q tile, so that rows leave in accesses of 16 bytes.
  for (int half = 0; half < 2; ++half) {
    float sum = state.sum[half];
    sum += __shfl_xor_sync(dev::kFullMask, sum, 1);
    sum += __shfl_xor_sync(dev::kFullMask, sum, 2);
    const float inverse = sum > 0.0f || sum != sum ? 1.0f / sum : 0.0f;
    const int row = warp * 16 + group + half * 8;
    if (pair == 0 && first_query + row < a.queries) {
      dev::stg(a.lse + (batch * a.heads + head) * a.queries + first_query + row,
               state.top[half] * kLn2 + dev::log(sum));
    }
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      dev::sts(
          (q_tile + (row * kPitch + n * 8 + pair)).template as<uint32_t>(),
          dev::pack2<T>(state.out[n][2 * half] * inverse, state.out[n][2 * half + 1] * inverse));
    }
  }
  __syncwarp();
  for (int i = lane; i < 16 * D / 8; i += 32) {
    const int row = warp * 16 + i / (D / 8), column = i % (D / 8) * 8;
    if (first_query + row >= a.queries || column >= a.head_dim) continue;
    using Row = dev::Vec<T, 8>;
    dev::stg(reinterpret_cast<Row*>(out + (first_query + row) * a.out_strides[1] + column),
             dev::lds((q_tile + (row * kPitch + column)).template as<Row>()));
  }
}

}  // namespace pyllm::cuda
