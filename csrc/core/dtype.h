// Element types of the arrays that kernels read and write, and the C++ types that hold them.
//
// bfloat16 and float16 are storage only: kernels widen them to float32 on load, accumulate in
// float32 and round to nearest even on store. float64 computes in float64 (gradient checks).
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace pyllm {

enum class DType : uint8_t { f32, f64, bf16, f16, i8, i16, i32, i64, u8, u16, u32, u64, boolean };

struct bfloat16 {
  uint16_t bits;
};
struct float16 {
  uint16_t bits;
};

constexpr size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::i64:
    case DType::u64:
      return 8;
    case DType::f32:
    case DType::i32:
    case DType::u32:
      return 4;
    case DType::bf16:
    case DType::f16:
    case DType::i16:
    case DType::u16:
      return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
  }
  return 0;
}

constexpr const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "float32";
    case DType::f64:
      return "float64";
    case DType::bf16:
      return "bfloat16";
    case DType::f16:
      return "float16";
    case DType::i8:
      return "int8";
    case DType::i16:
      return "int16";
    case DType::i32:
      return "int32";
    case DType::i64:
      return "int64";
    case DType::u8:
      return "uint8";
    case DType::u16:
      return "uint16";
    case DType::u32:
      return "uint32";
    case DType::u64:
      return "uint64";
    case DType::boolean:
      return "bool";
  }
  return "?";
}

constexpr bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f64 || dtype == DType::bf16 || dtype == DType::f16;
}

// The type a kernel computes in for a storage type.
template <class T>
struct compute {
  using type = float;
};
template <>
struct compute<double> {
  using type = double;
};
template <class T>
using compute_t = typename compute<T>::type;

template <class T>
struct Tag {
  using type = T;
};

// Calls f(Tag<storage type>{}) for a floating dtype.
template <class F>
decltype(auto) with_float_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(Tag<float>{});
    case DType::f64:
      return f(Tag<double>{});
    case DType::bf16:
      return f(Tag<bfloat16>{});
    case DType::f16:
      return f(Tag<float16>{});
    default:
      throw std::logic_error("with_float_type: not a floating dtype");
  }
}

}  // namespace pyllm
