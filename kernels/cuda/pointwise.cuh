// A thread a piece: W neighbours along the last axis, 16 bytes of the widest array where rows are
// aligned, or one element where they are not or behind the last whole piece of a row. 16-bit
// storage computes in float32 and is rounded once. The op is the same for all threads, and memory,
// not the branch, is what takes time, but for sin, cos and power, which therefore take W = 1.
//
//   sigmoid  e = exp(-|x|), which cannot overflow: 1 / (1 + e) for x >= 0, e / (1 + e) below
#pragma once

#include "pointwise.h"
#include "rows.cuh"

namespace pyllm::cuda {

constexpr int kPointwiseThreads = 256;

struct PointwisePlace {
  int64_t a = 0, b = 0, y = 0;
  bool whole = true;
};

// Piece i of a row-major walk over `shape`, in each array.
template <int W>
PYLLM_DEVICE PointwisePlace place_of(int64_t i, int ndim, const int64_t (&shape)[8],
                                     const int64_t (&a)[8], const int64_t (&b)[8],
                                     const int64_t (&y)[8]) {
  PointwisePlace place;
#pragma unroll
  for (int axis = 7; axis >= 0; --axis) {
    if (axis >= ndim) continue;
    const bool in_pieces = W > 1 && axis == ndim - 1;
    const int64_t length = in_pieces ? shape[axis] / W + shape[axis] % W : shape[axis];
    int64_t at = axis == 0 ? i : i % length;
    if (axis > 0) i /= length;
    if (in_pieces) {
      const int64_t whole = shape[axis] / W;
      place.whole = at < whole;
      at += (place.whole ? at : whole) * (W - 1);
    }
    place.a += at * a[axis];
    place.b += at * b[axis];
    place.y += at * y[axis];
  }
  return place;
}

inline bool takes_longer_than_memory(int32_t op) {
  return op == kSin || op == kCos || op == kPower;
}

PYLLM_DEVICE float slow_unary_of(int32_t op, float x) {
  return op == kSin ? dev::sin(x) : dev::cos(x);
}

PYLLM_DEVICE float unary_of(int32_t op, float x) {
  switch (op) {
    case kNegative:
      return -x;
    case kAbsolute:
      return dev::float_of(dev::bits_of(x) & 0x7FFFFFFFu);
    case kSign:
      return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x;
    case kSqrt:
      return dev::sqrt(x);
    case kExp:
      return dev::precise_exp(x);
    case kLog:
      return dev::log(x);
    case kTanh:
      return dev::tanh(x);
    default: {
      const float e = dev::precise_exp(x < 0.0f ? x : -x);
      return (x < 0.0f ? e : 1.0f) / (1.0f + e);
    }
  }
}

PYLLM_DEVICE float binary_of(int32_t op, float a, float b) {
  switch (op) {
    case kAdd:
      return a + b;
    case kSubtract:
      return a - b;
    case kMultiply:
      return a * b;
    case kDivide:
      return a / b;
    case kMaximum:
      return a != a || a > b ? a : b;
    default:
      return a != a || a < b ? a : b;
  }
}

template <class T>
PYLLM_DEVICE bool compared(int32_t op, T a, T b) {
  switch (op) {
    case kEqual:
      return a == b;
    case kNotEqual:
      return a != b;
    case kLess:
      return a < b;
    case kLessEqual:
      return a <= b;
    case kGreater:
      return a > b;
    default:
      return a >= b;
  }
}

enum class PointwiseKind { unary, binary, comparison };

// W elements, or one for all of them.
template <class T, int W>
PYLLM_DEVICE void load_operand(float (&to)[W], const void* p, int64_t at, int64_t stride) {
  const T* from = static_cast<const T*>(p) + at;
  if (W == 1 || stride != 0) return load_row<T, W>(to, from, 0);
  const float one = dev::to_float(dev::ldg(from));
#pragma unroll
  for (int k = 0; k < W; ++k) to[k] = one;
}

// kSlow: the ops that take longer than memory does.
template <class T, PointwiseKind kind, bool kSlow, int W>
PYLLM_DEVICE void pointwise_piece(const Pointwise& p, const PointwisePlace& at) {
  float a[W], b[W];
  load_operand<T, W>(a, p.a, at.a, p.a_strides[p.ndim - 1]);
  if constexpr (kind != PointwiseKind::unary) {
    load_operand<T, W>(b, p.b, at.b, p.b_strides[p.ndim - 1]);
  }
  if constexpr (kind == PointwiseKind::comparison) {
    dev::Vec<uint8_t, W> y;
#pragma unroll
    for (int k = 0; k < W; ++k) y.v[k] = static_cast<uint8_t>(compared(p.op, a[k], b[k]));
    dev::stg(reinterpret_cast<dev::Vec<uint8_t, W>*>(static_cast<uint8_t*>(p.y) + at.y), y);
  } else {
#pragma unroll
    for (int k = 0; k < W; ++k) {
      if constexpr (kind == PointwiseKind::unary) {
        a[k] = kSlow ? slow_unary_of(p.op, a[k]) : unary_of(p.op, a[k]);
      } else {
        a[k] = kSlow ? dev::pow(a[k], b[k]) : binary_of(p.op, a[k], b[k]);
      }
    }
    store_row<T, W>(static_cast<T*>(p.y) + at.y, 0, a);
  }
}

template <class T, PointwiseKind kind, bool kSlow, int W>
__global__ void __launch_bounds__(kPointwiseThreads) pointwise(Pointwise p, int64_t pieces) {
  const int64_t i = int64_t{blockIdx.x} * kPointwiseThreads + threadIdx.x;
  if (i >= pieces) return;
  const auto at = place_of<W>(i, p.ndim, p.shape, p.a_strides, p.b_strides, p.y_strides);
  if (at.whole) {
    pointwise_piece<T, kind, kSlow, W>(p, at);
  } else {
    pointwise_piece<T, kind, kSlow, 1>(p, at);
  }
}

// Comparisons of integers and booleans, of which there are few: an element a thread.
template <class T>
__global__ void __launch_bounds__(kPointwiseThreads) compare_integers(Pointwise p, int64_t size) {
  const int64_t i = int64_t{blockIdx.x} * kPointwiseThreads + threadIdx.x;
  if (i >= size) return;
  const auto at = place_of<1>(i, p.ndim, p.shape, p.a_strides, p.b_strides, p.y_strides);
  const T a = dev::ldg(static_cast<const T*>(p.a) + at.a);
  const T b = dev::ldg(static_cast<const T*>(p.b) + at.b);
  dev::stg(static_cast<uint8_t*>(p.y) + at.y, static_cast<uint8_t>(compared(p.op, a, b)));
}

// Storage of a boolean.
struct Byte {
  uint8_t value;
};

template <class T>
constexpr bool kIsFloat =
    std::is_same_v<T, float> || std::is_same_v<T, dev::half_t> || std::is_same_v<T, dev::bf16_t>;

template <class From, class To>
PYLLM_DEVICE To converted(From x) {
  if constexpr (std::is_same_v<From, Byte>) {
    return converted<int32_t, To>(x.value);
  } else if constexpr (kIsFloat<From>) {
    const float value = dev::to_float(x);
    if constexpr (kIsFloat<To>) {
      return dev::from_float<To>(value);
    } else if constexpr (std::is_same_v<To, Byte>) {
      return {static_cast<uint8_t>(value != 0.0f)};
    } else {
      return static_cast<To>(value);
    }
  } else if constexpr (std::is_same_v<To, Byte>) {
    return {static_cast<uint8_t>(x != 0)};
  } else if constexpr (kIsFloat<To>) {
    return dev::from_float<To>(static_cast<float>(x));
  } else {
    return static_cast<To>(x);
  }
}

// As many elements as have 16 bytes where an element has more.
template <class From, class To>
constexpr int kCastWidth =
    16 / static_cast<int>(sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To));

template <class From, class To, int W>
PYLLM_DEVICE void cast_piece(const From* x, To* y) {
  const auto from = dev::ldg(reinterpret_cast<const dev::Vec<From, W>*>(x));
  dev::Vec<To, W> to;
#pragma unroll
  for (int k = 0; k < W; ++k) to.v[k] = converted<From, To>(from.v[k]);
  dev::stg(reinterpret_cast<dev::Vec<To, W>*>(y), to);
}

template <class From, class To, int W>
__global__ void __launch_bounds__(kPointwiseThreads)
    pointwise_cast(PointwiseCast p, int64_t pieces) {
  const int64_t i = int64_t{blockIdx.x} * kPointwiseThreads + threadIdx.x;
  if (i >= pieces) return;
  const auto at = place_of<W>(i, p.ndim, p.shape, p.x_strides, p.x_strides, p.y_strides);
  const From* x = static_cast<const From*>(p.x) + at.a;
  To* y = static_cast<To*>(p.y) + at.y;
  if (at.whole) {
    cast_piece<From, To, W>(x, y);
  } else {
    cast_piece<From, To, 1>(x, y);
  }
}

}  // namespace pyllm::cuda
