// A head of attention as kernels see it: where its rows lie, and which keys its queries see.
#pragma once

#include "attention.h"
#include "device.cuh"

namespace pyllm::cuda {

constexpr int kMaxBand = 1 << 30, kMaxLength = kMaxBand - 1024;  // so that positions fit in 32 bits

struct Range {
  int begin, end;
};

PYLLM_DEVICE int64_t clamp_to(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

// One query head of one sequence. Query i sees the keys [i + shift - left, i + shift + right].
struct AttentionHead {
  int64_t batch, sequence;  // entry of q, k, v; entry of bias and alibi
  int64_t q_begin, k_begin;
  int queries, keys;
  int shift, left, right;
  int head, kv_head;

  PYLLM_DEVICE Range keys_of(int query, int query_end) const {
    const int end = query_end < queries ? query_end : queries;
    return {static_cast<int>(clamp_to(query + shift - left, 0, keys)),
            static_cast<int>(clamp_to(end + shift + right, 0, keys))};
  }
  PYLLM_DEVICE Range queries_of(int key, int key_end) const {
    const int end = key_end < keys ? key_end : keys;
    return {static_cast<int>(clamp_to(key - shift - right, 0, queries)),
            static_cast<int>(clamp_to(end - shift + left, 0, queries))};
  }
  PYLLM_DEVICE bool sees(int query, int key) const {
    const int p = query + shift;
    return key < keys && key >= p - left && key <= p + right;
  }
  // Whether all queries of [query, query_end) see all keys of [key, key_end).
  PYLLM_DEVICE bool sees_all(int query, int query_end, int key, int key_end) const {
    return sees(query_end - 1, key) && sees(query, key_end - 1);
  }
};

PYLLM_DEVICE int64_t sequence_start(const Attention& a, const void* starts, int64_t s,
                                    int64_t rows) {
  const int64_t start = a.starts_int64 ? dev::ldg(static_cast<const int64_t*>(starts) + s)
                                       : dev::ldg(static_cast<const int32_t*>(starts) + s);
  return clamp_to(start, 0, rows);
}

PYLLM_DEVICE AttentionHead attention_head(const Attention& a, int64_t sequence, int head) {
  AttentionHead h;
  h.sequence = sequence;
  h.batch = sequence;
  h.q_begin = h.k_begin = 0;
  int64_t q_end = a.queries, k_end = a.keys;
  if (a.q_starts) {
    h.batch = 0;
    h.q_begin = sequence_start(a, a.q_starts, sequence, a.queries);
    h.k_begin = sequence_start(a, a.k_starts, sequence, a.keys);
    q_end = sequence_start(a, a.q_starts, sequence + 1, a.queries);
    k_end = sequence_start(a, a.k_starts, sequence + 1, a.keys);
  }
  h.queries = static_cast<int>(clamp_to(q_end - h.q_begin, 0, kMaxLength));
  h.keys = static_cast<int>(clamp_to(k_end - h.k_begin, 0, kMaxLength));
  h.shift = h.keys - h.queries;
  h.left = static_cast<int>(clamp_to(a.left, 0, kMaxBand));
  h.right = static_cast<int>(clamp_to(a.right, 0, kMaxBand));
  h.head = head;
  h.kv_head = head / static_cast<int>(a.heads / a.kv_heads);
  return h;
}

// How blocks share the work: one takes tile `tile` of the queries or of the keys of a sequence.
struct TilePlace {
  int64_t sequence;
  int tile;
};
PYLLM_DEVICE TilePlace tile_place(int64_t tiles) {
  return {blockIdx.x / tiles, static_cast<int>(blockIdx.x % tiles)};
}

// lse or delta of a head's queries.
template <class Float>
PYLLM_DEVICE Float* head_row(Float* rows, const Attention& a, const AttentionHead& h) {
  return rows + (h.batch * a.heads + h.head) * a.queries + h.q_begin;
}

}  // namespace pyllm::cuda
