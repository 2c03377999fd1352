// dQ: a block takes a tile of queries of one head, 16 a warp, and walks over the tiles of keys that
// any of them sees, double-buffered as in the forward; dQ += dZ K.
//
// Reads Q, dout, lse and delta once, K and V once a tile of queries; writes dQ once.
#pragma once

#include "attention_gradient.cuh"

namespace pyllm::cuda {

template <class T, int D>
struct QueryGradientShape : BackwardShape<T, D> {
  using Base = BackwardShape<T, D>;
  static constexpr int kWarps = Base::kRowWarps, kThreads = 32 * kWarps;
  static constexpr bool kHold = D <= 128;
  using Kept = KeptWeights<16, Base::kSteps>;
  static constexpr size_t kSharedBytes =
      sizeof(T) * (2 * size_t{Base::kOwn} + 4 * Base::kStep) + kWarps * Kept::kBytes;
};

// The statistics of a warp's 16 queries, each read once: of rows g and g + 8 of the fragments.
struct FragmentStatistics {
  QueryStatistics rows[2];

  PYLLM_DEVICE FragmentStatistics(const AttentionBackward& b, const AttentionHead& h,
                                  int first_query) {
    const int lane = threadIdx.x % 32;
    QueryStatistics own{};
    if (lane < 16) own = query_statistics(b, h, first_query + lane);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      rows[half].lse = __shfl_sync(dev::kFullMask, own.lse, lane / 4 + half * 8);
      rows[half].delta = __shfl_sync(dev::kFullMask, own.delta, lane / 4 + half * 8);
    }
  }
  PYLLM_DEVICE QueryStatistics operator()(int, int i) const { return rows[i / 2]; }
};

template <class T, int D>
__global__ void __launch_bounds__(QueryGradientShape<T, D>::kThreads,
                                  QueryGradientShape<T, D>::kBlocks)
    attention_backward_q(AttentionBackward b, int64_t tiles) {
  using Shape = QueryGradientShape<T, D>;
  constexpr int kSteps = Shape::kSteps, kOwn = Shape::kOwn, kStep = Shape::kStep;
  const Attention& a = b.forward;
  PYLLM_DYNAMIC_SHARED(T, shared);
  const auto q_tile = shared.part(kOwn);
  const auto dout_tile = (shared + kOwn).part(kOwn);
  const auto k_tiles = (shared + 2 * kOwn).part(2 * kStep);
  const auto v_tiles = (shared + (2 * kOwn + 2 * kStep)).part(2 * kStep);
  const auto bits = (shared + (2 * kOwn + 4 * kStep)).template as<uint8_t>();

  // As in the forward, the last tile of queries goes first.
  const TilePlace place = tile_place(tiles);
  const AttentionHead h = attention_head(a, place.sequence, static_cast<int>(blockIdx.y));
  const int first_query = (static_cast<int>(tiles) - 1 - place.tile) * Shape::kRows;
  if (first_query >= h.queries) return;
  const auto k = key_rows<T>(a.k, a.k_strides, a, h, a.head_dim);
  const auto v = key_rows<T>(a.v, a.v_strides, a, h, a.value_dim);
  const int warp = threadIdx.x / 32, query = first_query + warp * 16;
  typename Shape::Kept kept(bits + warp * Shape::Kept::kBytes);

  const Range seen = h.keys_of(first_query, first_query + Shape::kRows);
  const int first_key = seen.begin / kSteps * kSteps;
  const auto fetch_keys = [&](int key, int buffer) {
    fetch_tile<T, D, kSteps, Shape::kThreads>(k_tiles + buffer * kStep, k, key);
    fetch_tile<T, D, kSteps, Shape::kThreads>(v_tiles + buffer * kStep, v, key);
  };
  fetch_tile<T, D, Shape::kRows, Shape::kThreads>(
      q_tile, query_rows(static_cast<const T*>(a.q), a.q_strides, h, a.head_dim), first_query);
  fetch_tile<T, D, Shape::kRows, Shape::kThreads>(
      dout_tile, query_rows(static_cast<const T*>(b.dout), b.dout_strides, h, a.value_dim),
      first_query);
  if (first_key < seen.end) fetch_keys(first_key, 0);
  dev::cp_commit();

  const FragmentStatistics statistics(b, h, query);
  const auto own_rows = q_tile + warp * 16 * Shape::kPitch;
  LeftRows<T, D, 1, Shape::kHold> queries(own_rows);
  LeftRows<T, D, 1, Shape::kHold> gradients(dout_tile + warp * 16 * Shape::kPitch);
  Fragments<1, D> dq = {};
  int buffer = 0;
  for (int key = first_key; key < seen.end; key += kSteps, buffer ^= 1) {
    if (key + kSteps < seen.end) fetch_keys(key + kSteps, buffer ^ 1);
    dev::cp_commit();
    dev::cp_wait<1>();
    __syncthreads();
    if (key == first_key) {
      queries.hold();
      gradients.hold();
    }
    Fragments<1, kSteps> s = {}, ds = {};
    add_scores<T, D, kSteps>(s, queries, k_tiles + buffer * kStep);
    add_scores<T, D, kSteps>(ds, gradients, v_tiles + buffer * kStep);
    if (a.threshold > 0) kept.draw(a, h, query, key);
    const auto at = FragmentPlace<false>::at(query, key);
    const bool inside = h.sees_all(query, query + 16, key, key + kSteps);
    weights_and_gradients<kSteps, true>(s[0], ds[0], at, h, a, inside, kept, statistics);
    add_weighted<T, D, kSteps, D>(dq, ds, k_tiles + buffer * kStep, 0);
    __syncthreads();  // the next round writes the buffers that were just read
  }
  dev::cp_wait<0>();
  __syncthreads();
  const auto dq_rows = query_rows(static_cast<T*>(b.dq), b.dq_strides, h, a.head_dim);
  write_rows<T, D, D>(dq_rows, query, 0, dq[0], a.scale, a.scale, own_rows);
}

}  // namespace pyllm::cuda
