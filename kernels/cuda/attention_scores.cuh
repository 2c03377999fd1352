// From products of queries and keys to scores, on a warp's fragments: scale, soft-cap, bias, ALiBi,
// band and padding. Scores are kept times log2(e), for exp2; what is hidden is -inf.
#pragma once

#include "attention_head.cuh"
#include "launch.cuh"

namespace pyllm::cuda {

constexpr float kLog2E = 1.44269504088896f, kLn2 = 0.693147180559945f;

// Which query and key a thread's fragment elements belong to. `row` and `column` are those of
// element (0, 0), the thread's place in the fragment included.
template <bool kKeysAreRows>
struct FragmentPlace {
  int row, column;

  PYLLM_DEVICE static FragmentPlace at(int first_row, int first_column) {
    const int lane = threadIdx.x % 32;
    return {first_row + lane / 4, first_column + lane % 4 * 2};
  }
  PYLLM_DEVICE int query(int n, int i) const {
    return kKeysAreRows ? column + n * 8 + i % 2 : row + i / 2 * 8;
  }
  PYLLM_DEVICE int key(int n, int i) const {
    return kKeysAreRows ? row + i / 2 * 8 : column + n * 8 + i % 2;
  }
};

PYLLM_DEVICE float load_as_float(const void* p, int64_t i, int32_t dtype) {
  switch (dtype) {
    case kFloat16:
      return dev::to_float(dev::ldg(static_cast<const dev::half_t*>(p) + i));
    case kBFloat16:
      return dev::to_float(dev::ldg(static_cast<const dev::bf16_t*>(p) + i));
    default:
      return dev::ldg(static_cast<const float*>(p) + i);
  }
}

PYLLM_DEVICE void store_from_float(void* p, int64_t i, float value, int32_t dtype) {
  switch (dtype) {
    case kFloat16:
      return dev::stg(static_cast<dev::half_t*>(p) + i, dev::from_float<dev::half_t>(value));
    case kBFloat16:
      return dev::stg(static_cast<dev::bf16_t*>(p) + i, dev::from_float<dev::bf16_t>(value));
    default:
      return dev::stg(static_cast<float*>(p) + i, value);
  }
}

// f(n, i) for each element of a fragment of N rows or columns.
template <int N, class F>
PYLLM_DEVICE void for_fragment(F&& f) {
#pragma unroll
  for (int n = 0; n < N / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) f(n, i);
  }
}

// s: products -> scores. ds, if given, is multiplied by the derivative of the cap. `inside`: every
// query of the tile sees every key of it, but for padding.
template <int N, bool kKeysAreRows>
PYLLM_DEVICE void finish_scores(float (&s)[N / 8][4], float (*ds)[4],
                                const FragmentPlace<kKeysAreRows>& at, const AttentionHead& h,
                                const Attention& a, bool inside) {
  if (a.softcap > 0.0f) {
    const float into = a.scale / a.softcap, out_of = a.softcap * kLog2E;
    for_fragment<N>([&](int n, int i) {
      const float t = dev::tanh(s[n][i] * into);
      s[n][i] = t * out_of;
      if (ds) ds[n][i] *= 1.0f - t * t;
    });
  } else {
    const float scale = a.scale * kLog2E;
    for_fragment<N>([&](int n, int i) { s[n][i] *= scale; });
  }
  if (a.bias) {
    const int64_t from = h.sequence * a.bias_strides[0] + h.head * a.bias_strides[1];
    for_fragment<N>([&](int n, int i) {
      const int query = at.query(n, i), key = at.key(n, i);
      if (query >= h.queries || key >= h.keys) return;
      const int64_t place = from + query * a.bias_strides[2] + key * a.bias_strides[3];
      s[n][i] += load_as_float(a.bias, place, a.bias_dtype) * kLog2E;
    });
  }
  if (a.alibi) {
    const float slope =
        kLog2E * dev::ldg(a.alibi + h.sequence * a.alibi_strides[0] + h.head * a.alibi_strides[1]);
    for_fragment<N>([&](int n, int i) {
      const float away = static_cast<float>(at.query(n, i) + h.shift - at.key(n, i));
      s[n][i] -= slope * dev::max(away, -away);
    });
  }
  if (!inside) {
    for_fragment<N>([&](int n, int i) {
      if (!h.sees(at.query(n, i), at.key(n, i))) s[n][i] = -INFINITY;
    });
  }
  if (a.key_mask) {
    const uint8_t* mask = a.key_mask + h.batch * a.key_mask_strides[0];
    for_fragment<N>([&](int n, int i) {
      const int key = at.key(n, i);
      if (key >= h.keys) return;
      if (dev::ldg(mask + (h.k_begin + key) * a.key_mask_strides[1]) == 0) s[n][i] = -INFINITY;
    });
  }
}

}  // namespace pyllm::cuda
