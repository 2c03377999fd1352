// dbias: a block owns a tile of dbias and walks over all that was added to it in the forward: where
// dbias has stride 0, all sequences, heads, queries or keys. It forms dS of each pair of tiles,
// adds them up in registers, then over rows or columns where those are summed, and writes its tile
// once.
//
// Tiles are not double-buffered: with a bias of its own for each head, as is common, a block has
// one pair of tiles a sequence, and the other blocks of the multiprocessor hide the copies.
#pragma once

#include "attention_backward_q.cuh"

namespace pyllm::cuda {

template <class T, int D>
struct BiasGradientShape : BackwardShape<T, D> {
  using Base = BackwardShape<T, D>;
  static constexpr int kWarps = Base::kRowWarps, kThreads = 32 * kWarps;
  static constexpr int kSumPitch = Base::kSteps + 8;
  using Kept = KeptWeights<16, Base::kSteps>;
  static constexpr size_t kSharedBytes = sizeof(T) * 2 * (size_t{Base::kOwn} + Base::kStep) +
                                         sizeof(float) * Base::kRows * kSumPitch +
                                         kWarps * Kept::kBytes;
};

// How many blocks the queries and the keys of dbias take: one where they are summed over.
struct BiasTiles {
  int queries, keys;
};

// [own, own + 1), or all of [0, count) where the axis is summed over.
PYLLM_DEVICE Range own_or_all(int64_t stride, int own, int64_t count) {
  return stride != 0 ? Range{own, own + 1} : Range{0, static_cast<int>(count)};
}

template <class T, int D>
__global__ void __launch_bounds__(BiasGradientShape<T, D>::kThreads,
                                  BiasGradientShape<T, D>::kBlocks)
    attention_backward_bias(AttentionBackward b, BiasTiles tiles, int64_t sequences,
                            int64_t longest_queries, int64_t longest_keys) {
  using Shape = BiasGradientShape<T, D>;
  constexpr int kRows = Shape::kRows, kSteps = Shape::kSteps, kOwn = Shape::kOwn;
  constexpr int kStep = Shape::kStep, kThreads = Shape::kThreads;
  const Attention& a = b.forward;
  PYLLM_DYNAMIC_SHARED(T, shared);
  const auto q_tile = shared.part(kOwn);
  const auto dout_tile = (shared + kOwn).part(kOwn);
  const auto k_tile = (shared + 2 * kOwn).part(kStep);
  const auto v_tile = (shared + (2 * kOwn + kStep)).part(kStep);
  const auto after = shared + (2 * kOwn + 2 * kStep);
  const auto sums = after.template part<float>(kRows * Shape::kSumPitch);
  const auto bits = (after.template as<float>() + kRows * Shape::kSumPitch).template as<uint8_t>();
  const int warp = threadIdx.x / 32;
  typename Shape::Kept kept(bits + warp * Shape::Kept::kBytes);

  const int own_key = static_cast<int>(blockIdx.x % tiles.keys);
  const int own_query = static_cast<int>(blockIdx.x / tiles.keys % tiles.queries);
  const int own_sequence = static_cast<int>(blockIdx.x / tiles.keys / tiles.queries);
  const int own_head = static_cast<int>(blockIdx.y);
  const Range in_sequences = own_or_all(b.dbias_strides[0], own_sequence, sequences);
  const Range in_heads = own_or_all(b.dbias_strides[1], own_head, a.heads);
  const Range in_queries =
      own_or_all(b.dbias_strides[2], own_query, (longest_queries + kRows - 1) / kRows);
  const Range in_keys =
      own_or_all(b.dbias_strides[3], own_key, (longest_keys + kSteps - 1) / kSteps);

  float total[kSteps / 8][4] = {};
  const auto add_tile = [&](const AttentionHead& h, int first_query, int first_key) {
    __syncthreads();  // the last tiles have been read
    fetch_tile<T, D, kRows, kThreads>(
        q_tile, query_rows(static_cast<const T*>(a.q), a.q_strides, h, a.head_dim), first_query);
    fetch_tile<T, D, kRows, kThreads>(
        dout_tile, query_rows(static_cast<const T*>(b.dout), b.dout_strides, h, a.value_dim),
        first_query);
    fetch_tile<T, D, kSteps, kThreads>(k_tile, key_rows<T>(a.k, a.k_strides, a, h, a.head_dim),
                                       first_key);
    fetch_tile<T, D, kSteps, kThreads>(v_tile, key_rows<T>(a.v, a.v_strides, a, h, a.value_dim),
                                       first_key);
    dev::cp_commit();
    const int query = first_query + warp * 16;
    const FragmentStatistics statistics(b, h, query);
    dev::cp_wait<0>();
    __syncthreads();
    const LeftRows<T, D> queries(q_tile + warp * 16 * Shape::kPitch);
    const LeftRows<T, D> gradients(dout_tile + warp * 16 * Shape::kPitch);
    Fragments<1, kSteps> s = {}, ds = {};
    add_scores<T, D, kSteps>(s, queries, k_tile);
    add_scores<T, D, kSteps>(ds, gradients, v_tile);
    if (a.threshold > 0) kept.draw(a, h, query, first_key);
    const bool inside = h.sees_all(query, query + 16, first_key, first_key + kSteps);
    weights_and_gradients<kSteps, false>(s[0], ds[0], FragmentPlace<false>::at(query, first_key), h,
                                         a, inside, kept, statistics);
    for_fragment<kSteps>([&](int n, int i) { total[n][i] += ds[0][n][i]; });
  };
  for (int sequence = in_sequences.begin; sequence < in_sequences.end; ++sequence) {
    for (int head = in_heads.begin; head < in_heads.end; ++head) {
      const AttentionHead h = attention_head(a, sequence, head);
      for (int i = in_queries.begin; i < in_queries.end; ++i) {
        if (i * kRows >= h.queries) break;
        const Range seen = h.keys_of(i * kRows, (i + 1) * kRows);
        for (int j = in_keys.begin; j < in_keys.end; ++j) {
          if (j * kSteps >= seen.end || (j + 1) * kSteps <= seen.begin) continue;
          add_tile(h, i * kRows, j * kSteps);
        }
      }
    }
  }

  const auto at = FragmentPlace<false>::at(warp * 16, 0);
  for_fragment<kSteps>([&](int n, int i) {
    dev::sts(sums + (at.query(n, i) * Shape::kSumPitch + at.key(n, i)), total[n][i]);
  });
  __syncthreads();
  const bool sums_rows = b.dbias_strides[2] == 0, sums_columns = b.dbias_strides[3] == 0;
  const int rows = sums_rows ? 1 : kRows, columns = sums_columns ? 1 : kSteps;
  const int64_t first = own_sequence * b.dbias_strides[0] + own_head * b.dbias_strides[1];
  for (int e = threadIdx.x; e < rows * columns; e += kThreads) {
    const int row = e / columns, column = e % columns;
    const int query = own_query * kRows + row, key = own_key * kSteps + column;
    if ((!sums_rows && query >= longest_queries) || (!sums_columns && key >= longest_keys))
      continue;
    float sum = 0.0f;
    for (int r = row; r < (sums_rows ? kRows : row + 1); ++r) {
      for (int c = column; c < (sums_columns ? kSteps : column + 1); ++c) {
        sum += dev::lds(sums + (r * Shape::kSumPitch + c));
      }
    }
    store_from_float(b.dbias, first + query * b.dbias_strides[2] + key * b.dbias_strides[3], sum,
                     a.bias_dtype);
  }
}

}  // namespace pyllm::cuda
