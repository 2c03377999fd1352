// Attention of the newest queries of each sequence against its cache of keys and values.
//
// Query i of sequence b stands at position lengths[b] - queries + i, its own key and value in the
// cache, and sees the positions up to its own, at most left before it; none: out 0. Arrays and
// scores as in attention.h.
#pragma once

#include <cstdint>

struct AttentionDecode {
  const void* q;  // (batch, queries, heads, head_dim)
  const void* k;  // (batch, capacity, kv_heads, head_dim), or, paged, (blocks, capacity, ...)
  const void* v;  // likewise, value_dim
  void* out;      // (batch, queries, heads, value_dim)
  int64_t batch, queries, heads, kv_heads, head_dim, value_dim, capacity, blocks;
  int64_t q_strides[3], k_strides[3], v_strides[3], out_strides[3];
  // Positions in use, new ones included. A length out of range makes the sequence's out NaN.
  const void* lengths;
  // (batch, blocks_per_sequence), contiguous, or null: not paged. Position j is row j % capacity of
  // block block_table[b, j / capacity]; a block out of range has NaN for its keys and values.
  const void* block_table;
  int64_t blocks_per_sequence;
  int64_t left;
  const float* alibi;  // slopes (batch, heads), or null
  int64_t alibi_strides[2];
  // Scratch of the parts that a sequence's positions are cut into, any number from 1 on.
  int64_t splits;
  float* partial_out;  // (splits, batch, heads, queries, value_dim)
  float* partial_top;  // (splits, batch, heads, queries)
  float* partial_sum;  // (splits, batch, heads, queries)
  float scale;
  float softcap;  // 0: none
  int32_t dtype;
  int32_t lengths_int64, block_table_int64;  // 0: int32
};

// Splits that keep a device busy whose multiprocessors hold about two blocks each. They depend on
// shapes and device alone, and so do the bits of the result.
inline int64_t attention_decode_splits(const AttentionDecode& a, int64_t multiprocessors) {
  constexpr int64_t kRows = 16, kFewestPositions = 256, kMostSplits = 128;
  const int64_t rows = a.queries * (a.heads / a.kv_heads);
  const int64_t blocks = a.batch * a.kv_heads * ((rows + kRows - 1) / kRows);
  const int64_t positions = a.block_table ? a.capacity * a.blocks_per_sequence : a.capacity;
  const int64_t wanted = blocks > 0 ? 2 * multiprocessors / blocks : 1;
  const int64_t useful = positions / kFewestPositions;
  const int64_t splits = wanted < useful ? wanted : useful;
  return splits < 1 ? 1 : splits > kMostSplits ? kMostSplits : splits;
}
