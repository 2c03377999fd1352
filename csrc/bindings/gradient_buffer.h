#pragma once

#include <string>

#include "bindings/arrays.h"

namespace pyllm::bind {

// A gradient buffer of the caller, in the dtype of the parameter or float32; fresh where None.
inline Output gradient_buffer(const Input& like, py::handle out,
                              std::initializer_list<int64_t> shape, const char* name,
                              bool accumulate) {
  const std::span<const int64_t> wanted(shape.begin(), shape.size());
  if (out.is_none()) {
    if (accumulate) {
      throw py::value_error(std::string(name) + ": accumulate=True needs a buffer to add to");
    }
    return make_output(like, wanted, like->dtype);
  }
  const Input given(out, name);
  if (like->dtype != DType::f64) given.require_dtype({like->dtype, DType::f32});
  return make_output(like, out, wanted, like->dtype == DType::f64 ? DType::f64 : given->dtype,
                     name);
}

}  // namespace pyllm::bind
