// Sums of gradients and hessians in fixed point.
//
// A row's gradient and hessian are integers, gradient * 2^a and hessian * 2^b rounded once a tree.
// Sums of integers do not depend on their order: a model is bitwise the same at any thread count
// and on any instruction set, at no cost. They are kept in three forms:
//
//   Pair    two 64-bit sums; never overflows
//   int64   gradient in the high half, hessian in the low one: one addition updates both. Exact
//           while both stay within 32 bits, which `Scale::block` rows cannot leave.
//   int32   the same in 16 bits each, for quantised training
//
// A hessian below 0 borrows from the gradient's half; unpacking gives it back.
#pragma once

#include <cstdint>
#include <type_traits>

namespace pyllm::trees {

// A vector, so that one instruction adds both.
typedef int64_t Pair __attribute__((vector_size(16)));

enum class Packing : uint8_t { bits16, bits32, bits64 };

inline int64_t pack64(int64_t gradient, int64_t hessian) {
  return static_cast<int64_t>((static_cast<uint64_t>(gradient) << 32) +
                              static_cast<uint64_t>(hessian));
}
inline int32_t pack32(int64_t gradient, int64_t hessian) {
  return static_cast<int32_t>((static_cast<uint32_t>(gradient) << 16) +
                              static_cast<uint32_t>(hessian));
}

inline Pair unpack(Pair sum) {
  return sum;
}
inline Pair unpack(int64_t word) {
  const int64_t hessian = static_cast<int32_t>(word);
  return Pair{(word - hessian) >> 32, hessian};
}
inline Pair unpack(int32_t word) {
  const int32_t hessian = static_cast<int16_t>(word);
  const uint32_t gradient = static_cast<uint32_t>(word) - static_cast<uint32_t>(hessian);
  return Pair{static_cast<int32_t>(gradient) >> 16, hessian};
}

template <class Word>
Word packed(Pair sum) {
  if constexpr (std::is_same_v<Word, Pair>) return sum;
  if constexpr (std::is_same_v<Word, int64_t>) return pack64(sum[0], sum[1]);
  if constexpr (std::is_same_v<Word, int32_t>) return pack32(sum[0], sum[1]);
}

// The same sums in another form. Packing is linear: differences of sums may be taken before or
// after, wherever the result fits.
template <class To, class From>
To repacked(From sum) {
  if constexpr (std::is_same_v<To, From>) {
    return sum;
  } else if constexpr (std::is_same_v<To, int64_t> && std::is_same_v<From, int32_t>) {
    const int64_t hessian = static_cast<int16_t>(sum);
    return ((sum - hessian) << 16) + hessian;
  } else if constexpr (std::is_same_v<To, int32_t> && std::is_same_v<From, int64_t>) {
    const int64_t hessian = static_cast<int32_t>(sum);
    return static_cast<int32_t>(((sum - hessian) >> 16) + hessian);
  } else {
    return packed<To>(unpack(sum));
  }
}

// Calls f with a value of the word type of a packing.
template <class F>
auto with_word(Packing packing, F&& f) {
  switch (packing) {
    case Packing::bits16:
      return f(int32_t{});
    case Packing::bits32:
      return f(int64_t{});
    case Packing::bits64:
      break;
  }
  return f(Pair{});
}

}  // namespace pyllm::trees
