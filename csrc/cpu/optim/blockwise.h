// Eight-bit states (Dettmers et al. 2022, "8-bit optimizers via block-wise quantization"): blocks
// of 256 elements, each a float32 scale and a byte an element of dynamic precision.
//
// The scale is the element of largest magnitude, with its sign, so it is kept exactly: as 1. Below
// it there are seven decades, 10^-k for k = 0..6, the i-th from the bottom cut into 2^i equal bins
// a sign (twice as many where there is no sign), and a byte stands for the middle of its bin. With
// the bins numbered upwards from 1, those of decade i are 2^i ... 2^(i+1) - 1 and
//
//   middle(c) = 10^(i-6) (0.9 (c + 1/2) / 2^i - 0.8)       bin(x) = 2^i (10^(6-i) x + 0.8) / 0.9
//
// The decade of a bin is the exponent of its number, so the first takes its line from a table of
// eight in a register. The second is concave and continuous where decades meet: the smallest of
// seven lines.
//
// bytes: signed, two's complement: 0, +-1..127, and -128 for 1; unsigned: 0, 1 for 1, 2..255.
// What is positive and has no sign is never rounded to 0: it stands under a root in a denominator.
// A block with an element that is not finite becomes NaN.
#pragma once

#include <array>
#include <cmath>
#include <cstring>

#include "cpu/bytes.h"
#include "cpu/optim/parameters.h"
#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {

constexpr int64_t kBlock = kStateBlock;

namespace blockwise {

constexpr int kDecades = 7;

struct Line {
  float slope, offset;
};
constexpr std::array<Line, kDecades> lines(bool of_bins) {
  std::array<Line, kDecades> result{};
  double power = 1e-6, bins = 1;  // 10^(i-6), 2^i
  for (Line& line : result) {
    line = of_bins ? Line{float(bins / power / 0.9), float(bins * 0.8 / 0.9)}
                   : Line{float(power * 0.9 / bins), float(power * -0.8)};
    power *= 10, bins *= 2;
  }
  return result;
}
inline constexpr auto kBin = lines(true);

// The lines of `middle` by the low bits of a float's biased exponent. Where no decade lies there is
// one more, for what is no bin: the byte of 0 and that of 1.
struct MiddleTable {
  float slope[8], offset[8];
};
constexpr MiddleTable middles(Line others) {
  MiddleTable table{};
  for (int i = 0; i < kDecades; ++i) {
    table.slope[(127 + i) % 8] = lines(false)[i].slope;
    table.offset[(127 + i) % 8] = lines(false)[i].offset;
  }
  table.slope[126 % 8] = others.slope;
  table.offset[126 % 8] = others.offset;
  return table;
}
inline constexpr MiddleTable kSigned = middles({-1 / 128.0f, 1 / 256.0f});  // 1/2: 0, 128.5: -1
inline constexpr MiddleTable kUnsigned = middles({4, -2});                  // 1/2: 0, 3/4: 1

// Of c + 1/2, c a bin.
inline Vec<float> middle(const MiddleTable& table, Vec<float> c) {
  const auto decade = to_bits(c) >> 23;
  return c * lookup(table.slope, decade) + lookup(table.offset, decade);
}
inline Vec<float> bin(Vec<float> x) {
  Vec<float> result = x * kBin[0].slope + kBin[0].offset;
  for (int i = 1; i < kDecades; ++i) result = min(x * kBin[i].slope + kBin[i].offset, result);
  return result;
}

// a, or -a where `by` has the sign bit.
inline Vec<float> flip_sign(Vec<float> a, Vec<float> by) {
  return from_bits((to_bits(by) & std::numeric_limits<int32_t>::min()) ^ to_bits(a));
}

// Where a magnitude x <= 1 is nearer to 1 than to the middle of the last of `bins`.
constexpr float nearly_one(int bins) {
  return float(1 - 0.9 / bins / 4);
}

template <bool is_signed>
void decode(const uint8_t* bytes, float scale, float* x) {
  using V = Vec<float>;
  for (int64_t i = 0; i < kBlock; i += V::lanes) {
    V value;
    if constexpr (is_signed) {
      const V c = load(reinterpret_cast<const int8_t*>(bytes + i));
      value = flip_sign(middle(kSigned, abs(c) + V(0.5f)), c);
    } else {
      value = middle(kUnsigned, max(load(bytes + i) * V(0.5f) + V(0.25f), V(0.5f)));
    }
    store(x + i, value * V(scale));
  }
}

template <bool is_signed>
float scale_of(const float* x) {
  using V = Vec<float>;
  const V zero = 0;
  constexpr int kChains = 4;  // so that latency does not bound the search
  V highs[kChains]{zero, zero, zero, zero}, lows[kChains]{zero, zero, zero, zero};
  V poisons[kChains]{zero, zero, zero, zero};  // NaN once an element is not finite
  for (int64_t i = 0; i < kBlock; i += kChains * V::lanes) {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
      const V value = load(x + i + c * V::lanes);
      highs[c] = max(value, highs[c]);
      if (is_signed) lows[c] = min(value, lows[c]);
      poisons[c] += value * zero;
    }
  }
  const V high = max(max(highs[0], highs[1]), max(highs[2], highs[3]));
  const V low = min(min(lows[0], lows[1]), min(lows[2], lows[3]));
  const V poison = (poisons[0] + poisons[1]) + (poisons[2] + poisons[3]);
  const float magnitude = max_of(max(high, -low) + poison);
  if (std::isnan(magnitude)) return magnitude;
  if (magnitude < std::numeric_limits<float>::min()) return 0;
  return is_signed && max_of(high) < magnitude ? -magnitude : magnitude;
}

// One vector of floats to bytes.
template <bool is_signed>
void encode(const float* x, Vec<float> inverse, uint8_t* bytes) {
  using V = Vec<float>;
  const V value = load(x) * inverse;
  if constexpr (is_signed) {
    const V c = flip_sign(min(bin(abs(value)), V(127)), value);
    store(reinterpret_cast<int8_t*>(bytes), select(value > V(nearly_one(64)), V(-128), c));
  } else {
    const V zero = 0, c = select(value > zero, max(bin(value) * V(2), V(2)), zero);
    store(bytes, select(value > V(nearly_one(128)), V(1), c));
  }
}

}  // namespace blockwise

// The scale of kBlock floats: 0 where its reciprocal might overflow, NaN where one is not finite.
inline float block_scale(const float* x, bool is_signed) {
  return is_signed ? blockwise::scale_of<true>(x) : blockwise::scale_of<false>(x);
}

// kBlock floats to bytes a vector at a time, so that a loop which waits for divisions can encode
// meanwhile.
class BlockEncoder {
 public:
  BlockEncoder() = default;  // has nothing to do
  BlockEncoder(const float* x, float scale, bool is_signed, uint8_t* bytes)
      : x_(x), inverse_(1 / scale), is_signed_(is_signed), bytes_(bytes) {
    if (std::isfinite(inverse_)) return;
    std::memset(bytes, 0, kBlock);
    bytes_ = nullptr;
  }

  void vector(int64_t i) const {
    if (!bytes_) return;
    is_signed_ ? blockwise::encode<true>(x_ + i, inverse_, bytes_ + i)
               : blockwise::encode<false>(x_ + i, inverse_, bytes_ + i);
  }
  void all() const {
    for (int64_t i = 0; i < kBlock; i += Vec<float>::lanes) vector(i);
  }

 private:
  const float* x_ = nullptr;
  float inverse_ = 0;
  bool is_signed_ = false;
  uint8_t* bytes_ = nullptr;
};

// kBlock floats to the first `count` of as many bytes, and back; bytes that are not there read as
// 0.
inline void encode_block(const float* x, float scale, bool is_signed, uint8_t* bytes,
                         int64_t count) {
  if (count == kBlock) return BlockEncoder(x, scale, is_signed, bytes).all();
  uint8_t whole[kBlock];
  BlockEncoder(x, scale, is_signed, whole).all();
  std::memcpy(bytes, whole, static_cast<size_t>(count));
}
inline void decode_block(const uint8_t* bytes, int64_t count, float scale, bool is_signed,
                         float* x) {
  uint8_t whole[kBlock];
  if (count < kBlock) {
    std::memset(whole, 0, sizeof whole);
    std::memcpy(whole, bytes, static_cast<size_t>(count));
    bytes = whole;
  }
  is_signed ? blockwise::decode<true>(bytes, scale, x) : blockwise::decode<false>(bytes, scale, x);
}

}  // namespace pyllm::PYLLM_ISA
