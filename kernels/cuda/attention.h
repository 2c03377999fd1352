// What the attention launchers take.
//
//   score(i, j) = cap(scale q_i . k_j) + bias(i, j) - slope |p - j|,   p = i + keys - queries
//   out_i = sum_j softmax_j(score(i, j)) v_j,   lse_i = log sum_j exp(score(i, j))
//
// over the keys that query i sees: p - left <= j <= p + right, not padded away. A query that sees
// none has out 0 and lse -inf.
//
// Arrays of rows are (batch, seq, heads, dim), read and written through their strides, in elements:
// those of batch, seq and head; dim is contiguous. k and v have kv_heads, a divisor of heads: query
// head h reads head h / (heads / kv_heads). Dims are 1 to 256. An array moves in copies of 16 bytes
// where its pointer, strides and dim are multiples of 16 bytes, element by element otherwise.
//
// Dims above 128 (float32: above 64) may take 100 to 147 KB of shared memory a block, which devices
// of compute capability 8.0 and 9.0 have; where there is less, launchers return an error.
//
// A packed batch is one entry of batch: sequence s is rows [q_starts[s], q_starts[s + 1]) of q and
// [k_starts[s], k_starts[s + 1]) of k and v, clamped to the rows there are.
#pragma once

#include <cstdint>

struct Attention {
  const void* q;
  const void* k;
  const void* v;
  void* out;   // (batch, queries, heads, value_dim); read by backward
  float* lse;  // (batch, heads, queries), contiguous; read by backward
  int64_t batch, queries, keys, heads, kv_heads, head_dim, value_dim;
  int64_t q_strides[3], k_strides[3], v_strides[3], out_strides[3];
  int64_t left, right;  // not negative; causal: right = 0
  // (sequences or batch, heads, queries, keys), stride 0 where broadcast, or null. In a packed
  // batch queries and keys count within a sequence.
  const void* bias;
  int64_t bias_strides[4];
  const uint8_t* key_mask;  // (batch, keys), 0: the key and its value are not read; or null
  int64_t key_mask_strides[2];
  const float* alibi;  // slopes (sequences or batch, heads), or null
  int64_t alibi_strides[2];
  const void* q_starts;  // sequences + 1 int32 or int64 each, or null: not packed
  const void* k_starts;
  int64_t sequences, longest_queries, longest_keys;  // of a packed batch; bounds will do
  // Element ((b heads + h) queries + i) keys + j of the stream, i and j counting the rows of a
  // packed batch, drops a weight if it is below threshold, 0 to 2^32 - 1 (0: no dropout).
  uint64_t seed, stream;
  int64_t threshold;
  float keep_scale;  // 1 / (1 - p)
  float scale;
  float softcap;  // cap(s) = softcap * tanh(s / softcap); 0: none
  int32_t dtype;  // of q, k, v, out and their gradients
  int32_t bias_dtype;
  int32_t starts_int64;  // 1: q_starts and k_starts are int64
};

// Gradients. delta is scratch; dbias is null or a contiguous array of bias_dtype in the shape of
// the bias, its strides 0 along the axes it is summed over.
struct AttentionBackward {
  Attention forward;
  const void* dout;
  int64_t dout_strides[3];
  float* delta;  // (batch, heads, queries)
  void* dq;
  void* dk;
  void* dv;
  int64_t dq_strides[3], dk_strides[3], dv_strides[3];
  void* dbias;
  int64_t dbias_strides[4];
};
