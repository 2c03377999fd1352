// Attention forward. q and out are (batch, queries, heads, head_dim), k and v (batch, keys,
// kv_heads, head_dim) with kv_heads a divisor of heads; all four are read through their strides, in
// elements, with head_dim next to one another. lse is (batch, heads, queries), contiguous.
//
// head_dim is a multiple of 8 up to 256, and so are the strides; pointers are multiples of 16
// bytes. dtype is float16 or bfloat16.
#pragma once

#include <cstdint>

struct AttentionForward {
  const void* q;
  const void* k;
  const void* v;
  void* out;
  float* lse;
  int64_t batch, queries, keys, heads, kv_heads, head_dim;
  int64_t q_strides[3], k_strides[3], v_strides[3], out_strides[3];  // batch, seq, head
  // Query i sees the keys [p - left, p + right], p = i + keys - queries. Causal: right = 0.
  int64_t left, right;
  float scale;
  float softcap;  // cap * tanh(score / cap); 0: none
  int32_t dtype;
};
