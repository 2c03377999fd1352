// Functions of one and of two elements, comparisons and casts, behind the operators of Tensor.
#pragma once

#include <cstdint>

namespace pyllm::cuda {

// Unary ops first, then binary ones, then those that give a boolean.
enum PointwiseOp : int32_t {
  kNegative = 0,
  kAbsolute = 1,
  kSign = 2,
  kSqrt = 3,
  kExp = 4,
  kLog = 5,
  kSin = 6,
  kCos = 7,
  kTanh = 8,
  kSigmoid = 9,
  kAdd = 10,
  kSubtract = 11,
  kMultiply = 12,
  kDivide = 13,
  kMaximum = 14,
  kMinimum = 15,
  kPower = 16,
  kEqual = 17,
  kNotEqual = 18,
  kLess = 19,
  kLessEqual = 20,
  kGreater = 21,
  kGreaterEqual = 22,
  kPointwiseOps = 23
};

}  // namespace pyllm::cuda

// y_i = op(a_i, b_i) for every index i of `shape`. Strides are in elements and may be 0 or
// negative. y may be an operand of the same strides.
struct Pointwise {
  const void* a;
  const void* b;  // null for a unary op
  void* y;        // of bytes 0 and 1 where the op gives a boolean
  int64_t shape[8], a_strides[8], b_strides[8], y_strides[8];
  int32_t ndim, op;
  int32_t dtype;  // float32, float16 or bfloat16; for comparisons any of DType
};

// y_i = x_i, converted: floats to integers towards zero, to booleans by x != 0.
struct PointwiseCast {
  const void* x;
  void* y;
  int64_t shape[8], x_strides[8], y_strides[8];
  int32_t ndim, from, to;  // any of DType
};
