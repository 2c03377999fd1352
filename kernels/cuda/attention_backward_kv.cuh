// dK and dV: a block takes a tile of keys of one key/value head, 16 a warp, and walks over the
// tiles of queries that see any of them, of each query head of the group in turn, double-buffered
// as in the forward. Fragments are transposed, keys by queries: P^T and dZ^T go from the
// accumulators straight into the operands of dV += P^T dout and dK += dZ^T Q.
//
// Reads K and V once, Q, dout, lse and delta once a tile of keys; writes dK and dV once. Where the
// sums of 16 keys do not fit in a warp's registers (D = 256) two warps take half the columns each.
#pragma once

#include "attention_gradient.cuh"

namespace pyllm::cuda {

template <class T, int D>
struct KeyGradientShape : BackwardShape<T, D> {
  using Base = BackwardShape<T, D>;
  static constexpr int kHalves = D <= 128 ? 1 : 2, kColumns = D / kHalves;
  static constexpr int kWarps = Base::kRowWarps * kHalves, kThreads = 32 * kWarps;
  using Kept = KeptWeights<Base::kSteps, 16>;
  static constexpr int kStatistics = 4 * Base::kSteps;  // two buffers of lse, then of delta
  static constexpr size_t kSharedBytes = sizeof(T) * (2 * size_t{Base::kOwn} + 4 * Base::kStep) +
                                         sizeof(float) * kStatistics + kWarps * Kept::kBytes;
};

template <class T, int D>
__global__ void __launch_bounds__(KeyGradientShape<T, D>::kThreads, KeyGradientShape<T, D>::kBlocks)
    attention_backward_kv(AttentionBackward b, int64_t tiles) {
  using Shape = KeyGradientShape<T, D>;
  constexpr int kSteps = Shape::kSteps, kOwn = Shape::kOwn, kStep = Shape::kStep;
  constexpr int kColumns = Shape::kColumns;
  const Attention& a = b.forward;
  PYLLM_DYNAMIC_SHARED(T, shared);
  const auto k_tile = shared.part(kOwn);
  const auto v_tile = (shared + kOwn).part(kOwn);
  const auto q_tiles = (shared + 2 * kOwn).part(2 * kStep);
  const auto dout_tiles = (shared + (2 * kOwn + 2 * kStep)).part(2 * kStep);
  const auto after = shared + (2 * kOwn + 4 * kStep);
  const auto lse = after.template part<float>(2 * kSteps);
  const auto delta = (after.template as<float>() + 2 * kSteps).part(2 * kSteps);
  const auto bits = (after.template as<float>() + Shape::kStatistics).template as<uint8_t>();

  const TilePlace place = tile_place(tiles);
  const int group = static_cast<int>(a.heads / a.kv_heads);
  const int first_head = static_cast<int>(blockIdx.y) * group;
  const AttentionHead h = attention_head(a, place.sequence, first_head);
  const int first_key = place.tile * Shape::kRows;
  if (first_key >= h.keys) return;
  const int warp = threadIdx.x / 32;
  const int warp_row = warp % Shape::kRowWarps * 16;
  const int column = warp / Shape::kRowWarps * kColumns;
  typename Shape::Kept kept(bits + warp * Shape::Kept::kBytes);

  const Range seen = h.queries_of(first_key, first_key + Shape::kRows);
  const int first_query = seen.begin / kSteps * kSteps;
  const int steps = seen.begin < seen.end ? (seen.end - first_query + kSteps - 1) / kSteps : 0;
  const int rounds = steps * group;
  const auto head_of = [&](int round) {
    AttentionHead of_round = h;
    of_round.head = first_head + round / steps;
    return of_round;
  };
  const auto query_of = [&](int round) { return first_query + round % steps * kSteps; };
  const auto fetch_queries = [&](int round, int buffer) {
    const AttentionHead of = head_of(round);
    const auto q = query_rows(static_cast<const T*>(a.q), a.q_strides, of, a.head_dim);
    const auto dout = query_rows(static_cast<const T*>(b.dout), b.dout_strides, of, a.value_dim);
    fetch_tile<T, D, kSteps, Shape::kThreads>(q_tiles + buffer * kStep, q, query_of(round));
    fetch_tile<T, D, kSteps, Shape::kThreads>(dout_tiles + buffer * kStep, dout, query_of(round));
  };
  const auto statistics_of = [&](int round) {
    return query_statistics(b, head_of(round), query_of(round) + static_cast<int>(threadIdx.x));
  };
  const auto store_statistics = [&](const QueryStatistics& s, int buffer) {
    dev::sts(lse + (buffer * kSteps + threadIdx.x), s.lse);
    dev::sts(delta + (buffer * kSteps + threadIdx.x), s.delta);
  };
  fetch_tile<T, D, Shape::kRows, Shape::kThreads>(
      k_tile, key_rows<T>(a.k, a.k_strides, a, h, a.head_dim), first_key);
  fetch_tile<T, D, Shape::kRows, Shape::kThreads>(
      v_tile, key_rows<T>(a.v, a.v_strides, a, h, a.value_dim), first_key);
  if (rounds > 0) {
    fetch_queries(0, 0);
    if (threadIdx.x < kSteps) store_statistics(statistics_of(0), 0);
  }
  dev::cp_commit();

  const LeftRows<T, D> keys(k_tile + warp_row * Shape::kPitch);
  const LeftRows<T, D> values(v_tile + warp_row * Shape::kPitch);
  Fragments<1, kColumns> dk = {}, dv = {};
  int buffer = 0;
  for (int round = 0; round < rounds; ++round, buffer ^= 1) {
    const bool more = round + 1 < rounds;
    QueryStatistics next{};
    if (more) {
      fetch_queries(round + 1, buffer ^ 1);
      if (threadIdx.x < kSteps) next = statistics_of(round + 1);
    }
    dev::cp_commit();
    dev::cp_wait<1>();
    __syncthreads();
    const auto q_tile = q_tiles + buffer * kStep, dout_tile = dout_tiles + buffer * kStep;
    Fragments<1, kSteps> s = {}, ds = {};
    add_scores<T, D, kSteps>(s, keys, q_tile);
    add_scores<T, D, kSteps>(ds, values, dout_tile);

    const AttentionHead of = head_of(round);
    const int query = query_of(round), key = first_key + warp_row;
    if (a.threshold > 0) kept.draw(a, of, query, key);
    const auto at = FragmentPlace<true>::at(key, query);
    const bool inside = h.sees_all(query, query + kSteps, key, key + 16);
    const auto place_of = [&](int n, int i) { return buffer * kSteps + at.query(n, i) - query; };
    weights_and_gradients<kSteps, true>(s[0], ds[0], at, of, a, inside, kept, [&](int n, int i) {
      return QueryStatistics{dev::lds(lse + place_of(n, i)), dev::lds(delta + place_of(n, i))};
    });
    add_weighted<T, D, kSteps, kColumns>(dv, s, dout_tile, column);
    add_weighted<T, D, kSteps, kColumns>(dk, ds, q_tile, column);
    if (more && threadIdx.x < kSteps) store_statistics(next, buffer ^ 1);
    __syncthreads();  // the next round writes the buffers that were just read
  }
  dev::cp_wait<0>();
  __syncthreads();

  const auto dk_rows = head_rows(static_cast<T*>(b.dk), b.dk_strides, h.batch, h.k_begin, h.kv_head,
                                 h.keys, a.head_dim);
  const auto dv_rows = head_rows(static_cast<T*>(b.dv), b.dv_strides, h.batch, h.k_begin, h.kv_head,
                                 h.keys, a.value_dim);
  const int key = first_key + warp_row;
  write_rows<T, D, kColumns>(dk_rows, key, column, dk[0], a.scale, a.scale,
                             k_tile + warp_row * Shape::kPitch);
  write_rows<T, D, kColumns>(dv_rows, key, column, dv[0], a.keep_scale, a.keep_scale,
                             v_tile + warp_row * Shape::kPitch);
}

}  // namespace pyllm::cuda
