// What activations and gated linear units share: the kind, biases, and sums over rows.
#pragma once

#include <algorithm>
#include <string>

#include "activation.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {

inline int32_t gelu_kind(const std::string& approximate) {
  if (approximate == "none") return cuda::kGelu;
  if (approximate == "tanh") return cuda::kGeluTanh;
  bind::fail_value("approximate", "expected 'none' or 'tanh', got '" + approximate + "'");
}

// A bias (n,) of x (..., n), or none.
class Bias {
 public:
  Bias(Call& call, py::handle object, const char* name, const Input& x)
      : given_(optional_input(call, object, name)) {
    if (!given_) return;
    if (x->ndim == 0) bind::fail_value(name, "x has no axis to add it along");
    given_->require_same_dtype(x).require_shape({x->shape[x->ndim - 1]});
    data_ = read_contiguous(call, given_->view()).data;
  }

  explicit operator bool() const { return given_ != nullptr; }
  const void* data() const { return data_; }
  void require_apart(const Output& out) const {
    if (given_) bind::require_no_overlap(out.view(), *given_, false);
  }
  // Where its gradient goes, if there is a bias.
  Output gradient(Call& call) const {
    return given_ ? Output(call, *given_, given_->shape(), (*given_)->dtype) : Output();
  }

 private:
  std::unique_ptr<Input> given_;
  const void* data_ = nullptr;
};

// Rows of partial sums for a gradient of a bias: about 16 rows of the matrix each, as long as there
// are blocks enough to fill the device.
inline int64_t partial_rows(const Call& call, int64_t rows) {
  return std::clamp<int64_t>(rows / 16, 1, 4 * multiprocessors(call.device()));
}

}  // namespace pyllm::bind_cuda
