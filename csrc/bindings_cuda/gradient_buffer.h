#pragma once

#include "bindings_cuda/arrays.h"

namespace pyllm::bind_cuda {

// A gradient buffer of the caller, in the dtype of the parameter or float32; fresh where None.
inline Output gradient_buffer(Call& call, const Input& like, py::handle out,
                              std::initializer_list<int64_t> shape, const char* name,
                              bool accumulate) {
  const std::span<const int64_t> wanted(shape.begin(), shape.size());
  if (out.is_none()) {
    if (accumulate) bind::fail_value(name, "accumulate=True needs a buffer to add to");
    return Output(call, like, wanted, like->dtype);
  }
  const Input given(call, out, name);
  given.require_dtype({like->dtype, DType::f32});
  return Output(call, like, out, wanted, given->dtype, name);
}

}  // namespace pyllm::bind_cuda
