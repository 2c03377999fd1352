#include "bindings_cuda/optim_buffers.h"

namespace pyllm::bind_cuda {
namespace {

constexpr int64_t kBlock = 256;  // elements that share a scale

const Argument& require_state(const Input& a, DType dtype, int64_t n) {
  return a.require_dtype({dtype}).require_shape({n}).require_contiguous().require_writable();
}

}  // namespace

OptimizerBuffers::OptimizerBuffers(Call& call, py::handle param, py::handle grad, py::handle master)
    : call_(call),
      param_(call, param, "param"),
      grad_(call, grad, "grad"),
      master_(optional_input(call, master, "master")) {
  require_kernel_float(param_).require_ndim(1).require_contiguous().require_writable();
  if (grad_->dtype != DType::f32) grad_.require_dtype({param_->dtype});
  grad_.require_same_shape(param_).require_contiguous();
  if (!master_) return;
  if (size_of(param_->dtype) != 2) {
    bind::fail_value("master", "only 16-bit parameters have one, param is " +
                                   std::string(name_of(param_->dtype)));
  }
  require_state(*master_, DType::f32, param_.shape(0));
}

const Input& OptimizerBuffers::keep(py::handle object, const char* name) {
  kept_.push_back(std::make_unique<Input>(call_, object, name));
  return *kept_.back();
}

OptimizerState OptimizerBuffers::state(py::handle object, const char* name) {
  const bool pair = py::isinstance<py::tuple>(object);
  if (quantized_.value_or(pair) != pair) {
    bind::fail_value(name, "either all states are block-wise or none");
  }
  quantized_ = pair;
  const int64_t n = param_.shape(0);
  if (!pair) {
    const Input& values = keep(object, name);
    require_state(values, DType::f32, n);
    return {values->data, nullptr};
  }
  const auto codes_and_scale = py::reinterpret_borrow<py::tuple>(object);
  if (codes_and_scale.size() != 2) bind::fail_value(name, "expected (codes, scale)");
  const Input& codes = keep(codes_and_scale[0], name);
  const Input& scale = keep(codes_and_scale[1], name);
  require_state(codes, DType::u8, n);
  require_state(scale, DType::f32, (n + kBlock - 1) / kBlock);
  return {codes->data, scale.view().as<float>()};
}

OptimizerState OptimizerBuffers::optional_state(py::handle object, const char* name) {
  return object.is_none() ? OptimizerState{} : state(object, name);
}

void require_fraction(double value, const char* name) {
  if (value >= 0 && value < 1) return;
  bind::fail_value(name, "expected 0 <= x < 1, got " + std::to_string(value));
}

}  // namespace pyllm::bind_cuda
