// FlashAttention-2 forward (Dao, 2023): out = softmax(scores) v without forming the scores.
//
// A block takes a tile of queries of one head, 16 or 32 a warp, and walks over the tiles of keys
// that any of them sees. Tiles of K and V come by cp.async into one of two buffers while the other
// is computed on. For each a warp forms the scores, rescales what it has by exp(m - m') for the new
// row maximum m' (online softmax), and adds P V, P = exp(S - m') going from the accumulators of the
// first product straight into the operands of the second. It writes out and lse = m + log(sum).
//
// Reads Q once, K and V once a tile of queries (128 for D <= 64, else 64); writes out
// and lse once.
#pragma once

#include "attention_dropout.cuh"
#include "attention_products.cuh"

namespace pyllm::cuda {

template <class T, int D>
struct ForwardShape {
  static constexpr bool kTensorCores = sizeof(T) == 2;
  static constexpr int kWarps = 4, kThreads = 32 * kWarps;
  static constexpr int kRows = D <= 64 ? 32 : 16, kM = kRows / 16;  // of a warp
  static constexpr int kQueries = kRows * kWarps;
  // As many as leave room for two blocks on an A100 up to D = 128: with one, a warp would have no
  // other to fill its waits.
  static constexpr int kKeysOfHalves = D <= 96 ? 64 : D <= 128 ? 48 : 32;
  static constexpr int kKeys = kTensorCores ? kKeysOfHalves : D <= 96 ? 32 : 16;
  // Blocks that registers must leave room for on a multiprocessor.
  static constexpr int kBlocks = D <= 128 ? 2 : 1;
  static constexpr bool kHoldQ = D <= 128;  // beyond, the fragments of Q do not fit in registers
  static constexpr int kQElements = kQueries * kTilePitch<T, D>;
  static constexpr int kTileElements = kKeys * kTilePitch<T, D>;
  using Kept = KeptWeights<kRows, kKeys>;
  static constexpr size_t kSharedBytes =
      sizeof(T) * (kQElements + 4 * size_t{kTileElements}) + kWarps * Kept::kBytes;
};

// What a thread keeps of 16 queries of its warp: rows g and g + 8 of the fragments, g = lane / 4.
struct SoftmaxState {
  float top[2] = {-INFINITY, -INFINITY};
  float sum[2] = {};  // of this thread's columns only, until the end
};

// Scores of this tile -> weights relative to the new maximum; rescales what was summed so far.
template <int D, int kKeys>
PYLLM_DEVICE void online_softmax(float (&s)[kKeys / 8][4], float (&sums)[D / 8][4],
                                 SoftmaxState& state) {
#pragma unroll
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
      sums[n][2 * half] *= rescale;
      sums[n][2 * half + 1] *= rescale;
    }
  }
}

template <class T, int D>
__global__ void __launch_bounds__(ForwardShape<T, D>::kThreads, ForwardShape<T, D>::kBlocks)
    attention_forward(Attention a, int64_t tiles) {
  using Shape = ForwardShape<T, D>;
  constexpr int kKeys = Shape::kKeys, kPitch = kTilePitch<T, D>, kTile = Shape::kTileElements;
  constexpr int kM = Shape::kM;
  PYLLM_DYNAMIC_SHARED(T, shared);
  const auto q_tile = shared.part(Shape::kQElements);
  const auto k_tiles = (shared + Shape::kQElements).part(2 * kTile);
  const auto v_tiles = (shared + (Shape::kQElements + 2 * kTile)).part(2 * kTile);

  // The last tile of queries sees the most keys under a causal mask: it goes first.
  const TilePlace place = tile_place(tiles);
  const AttentionHead h = attention_head(a, place.sequence, static_cast<int>(blockIdx.y));
  const int first_query = (static_cast<int>(tiles) - 1 - place.tile) * Shape::kQueries;
  if (first_query >= h.queries) return;
  const auto q = query_rows(static_cast<const T*>(a.q), a.q_strides, h, a.head_dim);
  const auto k = key_rows<T>(a.k, a.k_strides, a, h, a.head_dim);
  const auto v = key_rows<T>(a.v, a.v_strides, a, h, a.value_dim);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int warp_query = first_query + warp * Shape::kRows;
  const auto bits = (shared + (Shape::kQElements + 4 * kTile)).template as<uint8_t>();
  typename Shape::Kept kept(bits + warp * Shape::Kept::kBytes);

  const Range seen = h.keys_of(first_query, first_query + Shape::kQueries);
  const int first_key = seen.begin / kKeys * kKeys;
  const auto fetch_keys = [&](int key, int buffer) {
    fetch_tile<T, D, kKeys, Shape::kThreads>(k_tiles + buffer * kTile, k, key);
    fetch_tile<T, D, kKeys, Shape::kThreads>(v_tiles + buffer * kTile, v, key);
  };
  fetch_tile<T, D, Shape::kQueries, Shape::kThreads>(q_tile, q, first_query);
  if (first_key < seen.end) fetch_keys(first_key, 0);
  dev::cp_commit();

  const auto own_rows = q_tile + warp * Shape::kRows * kPitch;
  LeftRows<T, D, kM, Shape::kHoldQ> queries(own_rows);
  Fragments<kM, D> sums = {};
  SoftmaxState state[kM];
  int buffer = 0;
  for (int key = first_key; key < seen.end; key += kKeys, buffer ^= 1) {
    if (key + kKeys < seen.end) fetch_keys(key + kKeys, buffer ^ 1);
    dev::cp_commit();
    dev::cp_wait<1>();
    __syncthreads();
    if (key == first_key) queries.hold();
    Fragments<kM, kKeys> s = {};
    add_scores<T, D, kKeys>(s, queries, k_tiles + buffer * kTile);
    if (a.threshold > 0) kept.draw(a, h, warp_query, key);
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      const int query = warp_query + m * 16;
      const bool inside = h.sees_all(query, query + 16, key, key + kKeys);
      const auto at = FragmentPlace<false>::at(query, key);
      finish_scores<kKeys>(s[m], nullptr, at, h, a, inside);
      online_softmax<D, kKeys>(s[m], sums[m], state[m]);
      if (a.threshold > 0) {
        for_fragment<kKeys>([&](int n, int i) {
          if (!kept.keeps(at.query(n, i), at.key(n, i))) s[m][n][i] = 0.0f;
        });
      }
    }
    add_weighted<T, D, kKeys, D>(sums, s, v_tiles + buffer * kTile, 0);
    __syncthreads();  // the next round writes the buffer that was just read
  }
  dev::cp_wait<0>();
  __syncthreads();

  const auto out = query_rows(static_cast<T*>(a.out), a.out_strides, h, a.value_dim);
#pragma unroll
  for (int m = 0; m < kM; ++m) {
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = state[m].sum[half];
      sum += __shfl_xor_sync(dev::kFullMask, sum, 1);
      sum += __shfl_xor_sync(dev::kFullMask, sum, 2);
      factor[half] = sum == 0.0f ? 0.0f : a.keep_scale / sum;
      const int query = warp_query + m * 16 + lane / 4 + half * 8;
      if (lane % 4 == 0 && query < h.queries) {
        dev::stg(head_row(a.lse, a, h) + query, state[m].top[half] * kLn2 + dev::log(sum));
      }
    }
    write_rows<T, D, D>(out, warp_query + m * 16, 0, sums[m], factor[0], factor[1],
                        own_rows + m * 16 * kPitch);
  }
}

}  // namespace pyllm::cuda
