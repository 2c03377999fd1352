// A thread an element, neighbours along the last axis. 16-bit storage computes in float32 and is
// rounded once. The op is the same for all threads, and memory, not the branch, is what takes time.
//
//   sigmoid  e = exp(-|x|), which cannot overflow: 1 / (1 + e) for x >= 0, e / (1 + e) below
#pragma once

#include "device.cuh"
#include "pointwise.h"

namespace pyllm::cuda {

constexpr int kPointwiseThreads = 256;

struct PointwisePlace {
  int64_t a = 0, b = 0, y = 0;
};

// Element i of a row-major walk over `shape`, in each array.
PYLLM_DEVICE PointwisePlace place_of(int64_t i, int ndim, const int64_t (&shape)[8],
                                     const int64_t (&a)[8], const int64_t (&b)[8],
                                     const int64_t (&y)[8]) {
  PointwisePlace place;
#pragma unroll
  for (int axis = 7; axis >= 0; --axis) {
    if (axis >= ndim) continue;
    const int64_t at = axis == 0 ? i : i % shape[axis];
    if (axis > 0) i /= shape[axis];
    place.a += at * a[axis];
    place.b += at * b[axis];
    place.y += at * y[axis];
  }
  return place;
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
    case kSin:
      return dev::sin(x);
    case kCos:
      return dev::cos(x);
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
    case kMinimum:
      return a != a || a < b ? a : b;
    default:
      return dev::pow(a, b);
  }
}

PYLLM_DEVICE bool compared(int32_t op, float a, float b) {
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

template <class T, PointwiseKind kind>
__global__ void __launch_bounds__(kPointwiseThreads) pointwise(Pointwise p, int64_t size) {
  const int64_t i = int64_t{blockIdx.x} * kPointwiseThreads + threadIdx.x;
  if (i >= size) return;
  const PointwisePlace at = place_of(i, p.ndim, p.shape, p.a_strides, p.b_strides, p.y_strides);
  const float a = dev::to_float(dev::ldg(static_cast<const T*>(p.a) + at.a));
  if constexpr (kind == PointwiseKind::unary) {
    dev::stg(static_cast<T*>(p.y) + at.y, dev::from_float<T>(unary_of(p.op, a)));
  } else {
    const float b = dev::to_float(dev::ldg(static_cast<const T*>(p.b) + at.b));
    if constexpr (kind == PointwiseKind::binary) {
      dev::stg(static_cast<T*>(p.y) + at.y, dev::from_float<T>(binary_of(p.op, a, b)));
    } else {
      dev::stg(static_cast<uint8_t*>(p.y) + at.y, static_cast<uint8_t>(compared(p.op, a, b)));
    }
  }
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

template <class From, class To>
__global__ void __launch_bounds__(kPointwiseThreads) pointwise_cast(PointwiseCast p, int64_t size) {
  const int64_t i = int64_t{blockIdx.x} * kPointwiseThreads + threadIdx.x;
  if (i >= size) return;
  const PointwisePlace at = place_of(i, p.ndim, p.shape, p.x_strides, p.x_strides, p.y_strides);
  const From x = dev::ldg(static_cast<const From*>(p.x) + at.a);
  dev::stg(static_cast<To*>(p.y) + at.y, converted<From, To>(x));
}

}  // namespace pyllm::cuda
