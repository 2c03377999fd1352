// Decode: split-KV attention ("Flash-Decoding", Dao et al., 2023). Bound by reading the cache once.
//
// The query heads of a group share their keys, so a block takes 16 rows of (head of the group,
// query) pairs of one key/value head, and one part of the positions. Its warps take 16 positions
// each of every tile, with running sums of their own, which the block joins at the end. The parts
// of a sequence are joined by a second kernel, in order:
//
//   m = max m_s,   out = sum_s 2^(m_s - m) a_s / sum_s 2^(m_s - m) l_s
//
// Reads K and V once for 16 rows. Tiles come by cp.async into one of two buffers while the other is
// computed on; a paged cache differs only in where a row is found.
#pragma once

#include "attention_decode.h"
#include "attention_forward.cuh"

namespace pyllm::cuda {

template <class T, int D>
struct DecodeShape {
  static constexpr int kRows = 16, kWarps = sizeof(T) == 2 || D <= 128 ? 4 : 2;
  static constexpr int kThreads = 32 * kWarps, kKeys = 16 * kWarps;
  // Blocks that registers must leave room for on a multiprocessor.
  static constexpr int kBlocks = D <= 64 ? 4 : D <= 128 ? 2 : 1;
  static constexpr int kPitch = kTilePitch<T, D>;
  static constexpr int kQElements = kRows * kPitch, kTileElements = kKeys * kPitch;
  static constexpr int kSumPitch = D + 8;  // of the warps' sums, in the place of the tiles
  static constexpr size_t kSharedBytes = sizeof(T) * (kQElements + 4 * size_t{kTileElements});
  static_assert(sizeof(float) * kWarps * kRows * kSumPitch <= sizeof(T) * 4 * kTileElements);
};

PYLLM_DEVICE int64_t load_integer(const void* p, int64_t i, bool is_int64) {
  return is_int64 ? dev::ldg(static_cast<const int64_t*>(p) + i)
                  : dev::ldg(static_cast<const int32_t*>(p) + i);
}

PYLLM_DEVICE int64_t positions_of(const AttentionDecode& a) {
  return a.block_table ? a.capacity * a.blocks_per_sequence : a.capacity;
}

// Keys or values of one head of a sequence: rows of the cache, for fetch_tile.
template <class T>
struct CacheRows {
  static constexpr bool kMayMiss = true;
  const AttentionDecode& a;
  const T* data;  // of the head in entry or block 0
  int64_t entry_stride, stride, batch;
  int count, dim;
  bool vectors;

  PYLLM_DEVICE CacheRows(const AttentionDecode& a, const void* cache, const int64_t (&strides)[3],
                         int64_t batch, int64_t head, int length, int64_t dim)
      : a(a), entry_stride(strides[0]), batch(batch) {
    const auto rows = head_rows(static_cast<const T*>(cache), strides, 0, 0, head, length, dim);
    data = rows.data;
    stride = rows.stride;
    count = rows.count;
    this->dim = rows.dim;
    vectors = rows.vectors;
  }

  PYLLM_DEVICE bool keeps(int) const { return true; }
  // Null where the block table names no block.
  PYLLM_DEVICE const T* row(int position) const {
    if (!a.block_table) return data + batch * entry_stride + position * stride;
    const int rows = static_cast<int>(a.capacity), entry = position / rows;
    const int64_t block =
        load_integer(a.block_table, batch * a.blocks_per_sequence + entry, a.block_table_int64);
    if (block < 0 || block >= a.blocks) return nullptr;
    return data + block * entry_stride + (position - entry * rows) * stride;
  }
};

// Rows of Q for fetch_tile: row r is query r % queries of head r / queries of the group.
template <class T>
struct GroupRows : Rows<const T> {
  int64_t head_stride;
  int queries;

  PYLLM_DEVICE GroupRows(const AttentionDecode& a, int64_t batch, int64_t kv_head, int rows)
      : Rows<const T>(head_rows(static_cast<const T*>(a.q), a.q_strides, batch, 0,
                                kv_head * (a.heads / a.kv_heads), rows, a.head_dim)),
        head_stride(a.q_strides[2]),
        queries(static_cast<int>(a.queries)) {}

  PYLLM_DEVICE const T* row(int r) const {
    return this->data + r / queries * head_stride + r % queries * this->stride;
  }
};

// What the scores of rows g and g + 8 of the fragments need. A row past the last sees nothing.
struct DecodeRow {
  int position = -1;
  float slope = 0.0f;
};
PYLLM_DEVICE DecodeRow decode_row(const AttentionDecode& a, int64_t batch, int64_t kv_head, int row,
                                  int rows, int length) {
  DecodeRow r;
  if (row >= rows) return r;
  const int queries = static_cast<int>(a.queries);
  r.position = length - queries + row % queries;
  const int64_t head = kv_head * (a.heads / a.kv_heads) + row / queries;
  if (a.alibi) {
    r.slope = kLog2E * dev::ldg(a.alibi + batch * a.alibi_strides[0] + head * a.alibi_strides[1]);
  }
  return r;
}

// Products of 16 rows with the positions from `key` on -> scores.
PYLLM_DEVICE void decode_scores(float (&s)[2][4], const AttentionDecode& a,
                                const DecodeRow (&rows)[2], int key) {
  const int left = static_cast<int>(clamp_to(a.left, 0, kMaxBand));
  const auto at = FragmentPlace<false>::at(0, key);
  for_fragment<16>([&](int n, int i) {
    const DecodeRow& row = rows[i / 2];
    const int j = at.key(n, i);
    if (a.softcap > 0.0f) {
      s[n][i] = dev::tanh(s[n][i] * (a.scale / a.softcap)) * (a.softcap * kLog2E);
    } else {
      s[n][i] *= a.scale * kLog2E;
    }
    s[n][i] -= row.slope * static_cast<float>(row.position - j);
    if (j > row.position || j < row.position - left) s[n][i] = -INFINITY;
  });
}

template <class T, int D>
__global__ void __launch_bounds__(DecodeShape<T, D>::kThreads, DecodeShape<T, D>::kBlocks)
    attention_decode(AttentionDecode a, int64_t row_tiles) {
  using Shape = DecodeShape<T, D>;
  constexpr int kKeys = Shape::kKeys, kTile = Shape::kTileElements, kRows = Shape::kRows;
  PYLLM_DYNAMIC_SHARED(T, shared);
  PYLLM_SHARED(float, tops, kRows* Shape::kWarps);
  PYLLM_SHARED(float, weights, kRows* Shape::kWarps);
  const auto q_tile = shared.part(Shape::kQElements);
  const auto tiles = shared + Shape::kQElements;
  const auto k_tiles = tiles.part(2 * kTile);
  const auto v_tiles = (tiles + 2 * kTile).part(2 * kTile);

  const int64_t split = blockIdx.x % a.splits;
  const int first_row = static_cast<int>(blockIdx.x / a.splits % row_tiles) * kRows;
  const int64_t batch = blockIdx.x / a.splits / row_tiles, kv_head = blockIdx.y;
  const int rows = static_cast<int>(a.queries * (a.heads / a.kv_heads));
  const int length = static_cast<int>(
      clamp_to(load_integer(a.lengths, batch, a.lengths_int64), 0, positions_of(a)));
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;

  // This split's share of the tiles that any query sees.
  const int64_t lowest = length - a.queries - clamp_to(a.left, 0, kMaxBand);
  const int begin = static_cast<int>(clamp_to(lowest, 0, length)) / kKeys * kKeys;
  const int64_t share = ((length - begin + kKeys - 1) / kKeys + a.splits - 1) / a.splits * kKeys;
  const int first_key = static_cast<int>(clamp_to(begin + split * share, 0, length));
  const int end_key = static_cast<int>(clamp_to(begin + (split + 1) * share, 0, length));

  const CacheRows<T> k(a, a.k, a.k_strides, batch, kv_head, length, a.head_dim);
  const CacheRows<T> v(a, a.v, a.v_strides, batch, kv_head, length, a.value_dim);
  const auto fetch_keys = [&](int key, int buffer) {
    fetch_tile<T, D, kKeys, Shape::kThreads>(k_tiles + buffer * kTile, k, key);
    fetch_tile<T, D, kKeys, Shape::kThreads>(v_tiles + buffer * kTile, v, key);
  };
  fetch_tile<T, D, kRows, Shape::kThreads>(q_tile, GroupRows<T>(a, batch, kv_head, rows),
                                           first_row);
  if (first_key < end_key) fetch_keys(first_key, 0);
  dev::cp_commit();

  const DecodeRow own[2] = {
      decode_row(a, batch, kv_head, first_row + lane / 4, rows, length),
      decode_row(a, batch, kv_head, first_row + lane / 4 + 8, rows, length),
  };
  const LeftRows<T, D> queries(q_tile);
  Fragments<1, D> out = {};
  SoftmaxState state;
  int buffer = 0;
  for (int key = first_key; key < end_key; key += kKeys, buffer ^= 1) {
    if (key + kKeys < end_key) fetch_keys(key + kKeys, buffer ^ 1);
    dev::cp_commit();
    dev::cp_wait<1>();
    __syncthreads();
    const int offset = buffer * kTile + warp * 16 * Shape::kPitch;
    Fragments<1, 16> s = {};
    add_scores<T, D, 16>(s, queries, k_tiles + offset);
    decode_scores(s[0], a, own, key + warp * 16);
    online_softmax<D, 16>(s[0], out[0], state);
    add_weighted<T, D, 16, D>(out, s, v_tiles + offset, 0);
    __syncthreads();  // the next round writes the buffer that was just read
  }
  dev::cp_wait<0>();

  // Join the warps: each leaves its maxima, then its sums relative to the block's.
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    state.sum[half] += __shfl_xor_sync(dev::kFullMask, state.sum[half], 1);
    state.sum[half] += __shfl_xor_sync(dev::kFullMask, state.sum[half], 2);
    const int row = lane / 4 + half * 8;
    if (lane % 4 == 0) dev::sts(tops + (warp * kRows + row), state.top[half]);
  }
  __syncthreads();
  const auto sums = tiles.template part<float>(Shape::kWarps * kRows * Shape::kSumPitch);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + half * 8;
    float top = -INFINITY;
    for (int w = 0; w < Shape::kWarps; ++w) {
      top = dev::max(top, dev::lds(tops + (w * kRows + row)));
    }
    const float factor = dev::exp2(state.top[half] - (top == -INFINITY ? 0.0f : top));
    if (lane % 4 == 0) dev::sts(weights + (warp * kRows + row), state.sum[half] * factor);
#pragma unroll
    for (int n = 0; n < D / 8; ++n) {
      const auto at = sums + ((warp * kRows + row) * Shape::kSumPitch + n * 8 + lane % 4 * 2);
      dev::sts(
          at.template as<dev::Vec<float, 2>>(),
          dev::Vec<float, 2>{{out[0][n][2 * half] * factor, out[0][n][2 * half + 1] * factor}});
    }
  }
  __syncthreads();
  const int64_t all = a.batch * a.heads * a.queries;
  const int64_t first =
      split * all + (batch * a.heads + kv_head * (a.heads / a.kv_heads)) * a.queries + first_row;
  const int dim = static_cast<int>(a.value_dim);
  const int held = rows - first_row < kRows ? rows - first_row : kRows;
  for (int row = threadIdx.x; row < held; row += Shape::kThreads) {
    float top = -INFINITY, sum = 0.0f;
    for (int w = 0; w < Shape::kWarps; ++w) {
      top = dev::max(top, dev::lds(tops + (w * kRows + row)));
      sum += dev::lds(weights + (w * kRows + row));
    }
    dev::stg(a.partial_top + first + row, top);
    dev::stg(a.partial_sum + first + row, sum);
  }
  for (int e = threadIdx.x; e < held * dim; e += Shape::kThreads) {
    const int row = e / dim, column = e % dim;
    float sum = 0.0f;
    for (int w = 0; w < Shape::kWarps; ++w) {
      sum += dev::lds(sums + ((w * kRows + row) * Shape::kSumPitch + column));
    }
    dev::stg(a.partial_out + first * dim + e, sum);
  }
}

constexpr int kCombineWarps = 4, kCombineThreads = 32 * kCombineWarps;

// A warp joins the parts of one row.
template <class T>
__global__ void __launch_bounds__(kCombineThreads) attention_decode_combine(AttentionDecode a) {
  const int64_t all = a.batch * a.heads * a.queries;
  const int64_t row = int64_t{blockIdx.x} * kCombineWarps + threadIdx.x / 32;
  if (row >= all) return;
  const int64_t query = row % a.queries, head = row / a.queries % a.heads;
  const int64_t batch = row / a.queries / a.heads;
  const int64_t length = load_integer(a.lengths, batch, a.lengths_int64);
  const bool valid = length >= 0 && length <= positions_of(a);
  float top = -INFINITY;
  for (int64_t s = 0; s < a.splits; ++s)
    top = dev::max(top, dev::ldg(a.partial_top + s * all + row));
  const float base = top == -INFINITY ? 0.0f : top;
  float total = 0.0f;
  for (int64_t s = 0; s < a.splits; ++s) {
    const int64_t at = s * all + row;
    total += dev::ldg(a.partial_sum + at) * dev::exp2(dev::ldg(a.partial_top + at) - base);
  }
  const float factor = !valid ? NAN : total == 0.0f ? 0.0f : 1.0f / total;
  T* out = static_cast<T*>(a.out) + batch * a.out_strides[0] + query * a.out_strides[1] +
           head * a.out_strides[2];
  for (int64_t c = threadIdx.x % 32; c < a.value_dim; c += 32) {
    float sum = 0.0f;
    for (int64_t s = 0; s < a.splits; ++s) {
      const int64_t at = s * all + row;
      const float weight = dev::exp2(dev::ldg(a.partial_top + at) - base);
      sum = dev::fma(dev::ldg(a.partial_out + at * a.value_dim + c), weight, sum);
    }
    dev::stg(out + c, dev::from_float<T>(sum * factor));
  }
}

}  // namespace pyllm::cuda
