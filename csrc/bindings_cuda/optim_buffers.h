// What optimizer steps share: parameter, gradient, master copy and states, checked.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "bindings_cuda/arrays.h"

namespace pyllm::bind_cuda {

// float32 values, or codes and a scale for 256 of them; all null where there is none.
struct OptimizerState {
  void* values = nullptr;
  float* scale = nullptr;
};

class OptimizerBuffers {
 public:
  // All flat, contiguous and of one length.
  OptimizerBuffers(Call& call, py::handle param, py::handle grad, py::handle master);

  // An array, or the pair of a quantised state.
  OptimizerState state(py::handle object, const char* name);
  // None is absent.
  OptimizerState optional_state(py::handle object, const char* name);

  // The fields that every step's tensors and arguments have.
  template <class Tensor, class Step>
  void fill(Tensor& tensor, Step& step, double grad_factor) const {
    tensor.param = param_->data, tensor.grad = grad_->data, tensor.n = param_->size();
    tensor.master = master_ ? master_->view().as<float>() : nullptr;
    step.tensors = &tensor, step.count = 1;
    step.grad_factor = grad_factor;
    step.param_dtype = code_of(param_->dtype), step.grad_dtype = code_of(grad_->dtype);
    step.quantized = quantized_.value_or(false);
  }

 private:
  const Input& keep(py::handle object, const char* name);

  Call& call_;
  Input param_, grad_;
  std::unique_ptr<Input> master_;
  std::vector<std::unique_ptr<Input>> kept_;
  std::optional<bool> quantized_;
};

// Throws ValueError unless 0 <= value < 1.
void require_fraction(double value, const char* name);

}  // namespace pyllm::bind_cuda
