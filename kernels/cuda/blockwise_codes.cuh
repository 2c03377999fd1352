// Eight-bit states (Dettmers et al. 2022, "8-bit optimizers via block-wise quantization"), to the
// rules of csrc/cpu/optim/blockwise.h: blocks of 256 elements, each a float32 scale and a byte an
// element. The scale is the element of largest magnitude, with its sign. Below it there are seven
// decades, the i-th from the bottom cut into 2^i equal bins (twice as many where there is no sign):
//
//   middle(c) = 10^(i-6) (0.9 (c + 1/2) / 2^i - 0.8)       bin(x) = 2^i (10^(6-i) x + 0.8) / 0.9
//
// the largest and the smallest of seven lines. Bytes: signed, two's complement, -128 for exactly 1;
// unsigned: 0, 1 for exactly 1, 2..255. A warp holds a block, eight elements a lane.
#pragma once

#include "reduce.cuh"

namespace pyllm::cuda {

constexpr int kStateBlock = 256, kDecades = 7;

// Of c + 1/2, c a bin.
PYLLM_DEVICE float bin_middle(float c) {
  float result = 0.0f;
  double power = 1e-6, bins = 1;  // 10^(i-6), 2^i: constants once unrolled
#pragma unroll
  for (int i = 0; i < kDecades; ++i, power *= 10, bins *= 2) {
    const float slope = static_cast<float>(power * 0.9 / bins);
    result = dev::max(dev::fma(c, slope, static_cast<float>(power * -0.8)), result);
  }
  return result;
}
PYLLM_DEVICE float bin_of(float x) {
  float result = INFINITY;
  double power = 1e-6, bins = 1;
#pragma unroll
  for (int i = 0; i < kDecades; ++i, power *= 10, bins *= 2) {
    const float slope = static_cast<float>(bins / power / 0.9);
    result = dev::min(dev::fma(x, slope, static_cast<float>(bins * 0.8 / 0.9)), result);
  }
  return result;
}
// Where a magnitude is nearer to 1 than to the middle of the last of `bins`.
PYLLM_DEVICE float nearly_one(int bins) {
  return 1.0f - 0.225f / static_cast<float>(bins);
}

// The codes of a lane's eight elements.
struct StateCodes {
  static constexpr int kEach = kStateBlock / dev::kWarpSize;
  using Bytes = dev::Vec<uint8_t, kEach>;
  Bytes bytes;

  StateCodes() = default;
  PYLLM_DEVICE StateCodes(const uint8_t* from, int count, bool whole) {
    if (whole) {
      bytes = dev::ldg(reinterpret_cast<const Bytes*>(from));
    } else {
#pragma unroll
      for (int k = 0; k < kEach; ++k) bytes.v[k] = k < count ? dev::ldg(from + k) : 0;
    }
  }
  PYLLM_DEVICE void store(uint8_t* to, int count, bool whole) const {
    if (whole) {
      dev::stg(reinterpret_cast<Bytes*>(to), bytes);
    } else {
#pragma unroll
      for (int k = 0; k < kEach; ++k) {
        if (k < count) dev::stg(to + k, bytes.v[k]);
      }
    }
  }

  // Elements from `count` on become 0.
  PYLLM_DEVICE void decode(float (&x)[kEach], float scale, bool is_signed, int count) const {
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      float value;
      if (is_signed) {
        const int c = static_cast<int8_t>(bytes.v[k]);
        const float magnitude = bin_middle(static_cast<float>(c < 0 ? -c : c) + 0.5f);
        value = c == -128 ? 1.0f : c < 0 ? -magnitude : c > 0 ? magnitude : 0.0f;
      } else {
        const int c = bytes.v[k];
        value = c == 1 ? 1.0f : bin_middle((static_cast<float>(c) + 0.5f) * 0.5f);
      }
      x[k] = k < count ? value * scale : 0.0f;
    }
  }

  // All lanes of a warp together; returns the scale.
  PYLLM_DEVICE float encode(const float (&x)[kEach], bool is_signed) {
    float high = 0.0f, low = 0.0f, poison = 0.0f;  // NaN once an element is not finite
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      high = dev::max(high, x[k]);
      low = dev::max(low, -x[k]);
      poison += x[k] * 0.0f;
    }
    high = dev::warp_reduce<dev::Max>(high);
    low = dev::warp_reduce<dev::Max>(low);
    const float magnitude = dev::max(high, low) + dev::warp_reduce<dev::Sum>(poison);
    constexpr float kLeast = 1.17549435e-38f;  // below it the reciprocal might overflow
    const bool any = magnitude >= kLeast;
    const float scale = is_signed && high < magnitude ? -magnitude : magnitude;
    const float inverse = any ? 1.0f / scale : 0.0f;
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      bytes.v[k] =
          any ? (is_signed ? signed_code(x[k] * inverse) : unsigned_code(x[k] * inverse)) : 0;
    }
    return any || magnitude != magnitude ? scale : 0.0f;
  }

 private:
  PYLLM_DEVICE static uint8_t signed_code(float value) {
    if (value > nearly_one(64)) return 0x80;
    const int bin = static_cast<int>(dev::min(bin_of(value < 0.0f ? -value : value), 127.0f));
    return static_cast<uint8_t>(value < 0.0f ? -bin : bin);
  }
  PYLLM_DEVICE static uint8_t unsigned_code(float value) {
    if (value > nearly_one(128)) return 1;
    if (!(value > 0.0f)) return 0;
    const int code = static_cast<int>(dev::min(bin_of(value) * 2.0f, 255.0f));
    return static_cast<uint8_t>(code < 2 ? 2 : code);
  }
};

}  // namespace pyllm::cuda
