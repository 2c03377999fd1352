// Attention kernels: what they take. Every array is 4-d, (batch, seq, heads, head_dim), read and
// written through its strides; only the last axis must be contiguous. Packed variable-length
// batches are one batch entry, cut into sequences by `q_starts` and `k_starts`.
#pragma once

#include <cstdint>

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

constexpr int64_t kUnlimited = INT64_MAX / 4;  // a window without an edge on that side

struct AttentionOptions {
  double scale = 1.0;
  // Query i of a sequence sees the keys [p - left, p + right], p = i + keys - queries.
  int64_t left = kUnlimited, right = kUnlimited;
  double softcap = 0.0;             // cap * tanh(score / cap); 0: none
  const Array* bias = nullptr;      // (sequences, heads, queries, keys), broadcast by stride 0
  const Array* key_mask = nullptr;  // (batch, keys) bool, false: the key takes no part
  const Array* alibi = nullptr;     // (sequences, heads) float32: score -= slope * |p - j|
  double dropout_p = 0.0;
  uint64_t seed = 0, stream = 0;
  const int64_t* q_starts = nullptr;  // sequences + 1 offsets each, or null: one per batch entry
  const int64_t* k_starts = nullptr;
  int64_t sequences = 0;
};

struct AttentionArgs {
  Array q, k, v;  // k and v may have fewer heads: a divisor of q's
  Array out;      // (batch, queries, heads, head_dim of v)
  Array lse;      // (batch, heads, queries) float32, float64 for float64 inputs
  AttentionOptions options;
};

struct AttentionBackwardArgs {
  Array q, k, v, out, lse, grad;
  Array dq, dk, dv;
  const Array* dbias = nullptr;  // fresh, contiguous, of the bias's own shape and dtype
  AttentionOptions options;
};

// New queries, one or a few a sequence, against a cache of keys and values.
struct DecodeArgs {
  Array q, out;  // (batch, queries, heads, head_dim)
  Array k, v;    // (batch, capacity, kv_heads, head_dim), or blocks of them
  const int64_t* lengths =
      nullptr;  // keys in the cache of each sequence, the new queries' included
  const int64_t* blocks =
      nullptr;  // (batch, blocks_per_sequence) block numbers, or null: not paged
  int64_t blocks_per_sequence = 0;
  AttentionOptions options;
};

PYLLM_KERNEL(attention_forward, (const AttentionArgs& args));
PYLLM_KERNEL(attention_backward, (const AttentionBackwardArgs& args));
PYLLM_KERNEL(attention_decode, (const DecodeArgs& args));

}  // namespace pyllm
