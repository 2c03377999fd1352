// Functions of one and of two elements, behind the operators of Tensor.
#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

enum class Unary { negative, absolute, sqrt, exp, log, tanh, sigmoid };
enum class Binary { add, subtract, multiply, divide, maximum, minimum };

// y = op(x); one shape and dtype. y may be x.
struct UnaryArgs {
  Unary op;
  Array x;
  Array y;
};

// y = op(a, b); one dtype; a and b are broadcast to the shape of y by their strides. y may be an
// operand that has its shape.
struct BinaryArgs {
  Binary op;
  Array a;
  Array b;
  Array y;
};

PYLLM_KERNEL(pointwise_unary, (const UnaryArgs& args));
PYLLM_KERNEL(pointwise_binary, (const BinaryArgs& args));

}  // namespace pyllm
