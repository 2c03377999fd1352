// The operands of a matrix product as NumPy understands them, for every back end.
#pragma once

#include <vector>

#include "bindings/argument.h"

namespace pyllm::bind {

// a (batch..., m, k), b (batch..., k, n), of one batch shape by strides of 0.
class MatmulViews {
 public:
  // Throws ValueError where shapes do not fit.
  MatmulViews(const Argument& a, const Argument& b, bool transpose_a, bool transpose_b);

  const Array& a() const { return a_; }
  const Array& b() const { return b_; }
  // Of the result: without the axes that one-dimensional arguments lack.
  const std::vector<int64_t>& shape() const { return shape_; }
  // A result of that shape as (batch..., m, n).
  Array result(const Array& c) const;

 private:
  Array a_, b_;
  std::vector<int64_t> shape_;
  bool a_is_row_, b_is_column_;
};

}  // namespace pyllm::bind
