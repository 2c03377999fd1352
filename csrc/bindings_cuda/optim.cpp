// Optimizer steps, in place.
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {
namespace {

[[noreturn]] void not_implemented(const char* what) {
  PyErr_SetString(PyExc_NotImplementedError, what);
  throw py::error_already_set();
}

void require_fraction(double value, const char* name) {
  if (value >= 0 && value < 1) return;
  bind::fail_value(name, "expected 0 <= x < 1, got " + std::to_string(value));
}

// A float32 array of param's shape that the step changes.
Input state(Call& call, py::handle object, const char* name, const Input& param) {
  if (py::isinstance<py::tuple>(object)) {
    not_implemented("block-wise states are kept on the CPU only; pass float32 moments");
  }
  Input made(call, object, name);
  made.require_dtype({DType::f32}).require_same_shape(param).require_contiguous();
  made.require_writable();
  return made;
}

void adam(py::handle param_object, py::handle grad_object, py::handle exp_avg_object,
          py::handle exp_avg_sq_object, double lr, double beta1, double beta2, double eps,
          double weight_decay, int64_t step, py::handle max_exp_avg_sq, double grad_scale,
          py::handle master_object, bool decoupled) {
  if (!max_exp_avg_sq.is_none()) {
    not_implemented("max_exp_avg_sq: AMSGrad has no CUDA kernel; train on the CPU, or without it");
  }
  Call call(param_object, "param");
  const Input param(call, param_object, "param"), grad(call, grad_object, "grad");
  require_kernel_float(param).require_ndim(1).require_contiguous().require_writable();
  grad.require_same_shape(param).require_contiguous();
  if (grad->dtype != DType::f32) grad.require_dtype({param->dtype});
  const Input exp_avg = state(call, exp_avg_object, "exp_avg", param);
  const Input exp_avg_sq = state(call, exp_avg_sq_object, "exp_avg_sq", param);
  AdamWTensor tensor{
      param->data, grad->data,   exp_avg.view().as<float>(), exp_avg_sq.view().as<float>(),
      nullptr,     param->size()};
  std::unique_ptr<Input> master;
  if (!master_object.is_none()) {
    if (size_of(param->dtype) != 2) {
      bind::fail_value("master", "only 16-bit parameters have one, param is " +
                                     std::string(name_of(param->dtype)));
    }
    master = std::make_unique<Input>(state(call, master_object, "master", param));
    tensor.master = master->view().as<float>();
  }
  require_fraction(beta1, "beta1"), require_fraction(beta2, "beta2");
  if (step < 1) bind::fail_value("step", "counted from 1, got " + std::to_string(step));
  AdamWStep args{};
  args.tensors = &tensor, args.count = 1;
  args.grad_factor = grad_scale;
  args.lr = lr, args.beta1 = beta1, args.beta2 = beta2, args.eps = eps;
  args.weight_decay = weight_decay, args.step = step, args.decoupled = decoupled;
  args.param_dtype = code_of(param->dtype), args.grad_dtype = code_of(grad->dtype);
  call.launch(&pyllm_cuda_adamw_step, args);
  call.finish();
}

}  // namespace

void bind_optim(py::module_& m) {
  const auto none = py::none();
  m.def("adam_step", &adam, py::arg("param"), py::arg("grad"), py::arg("exp_avg"),
        py::arg("exp_avg_sq"), py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"),
        py::arg("weight_decay"), py::arg("step"), py::arg("max_exp_avg_sq") = none,
        py::arg("grad_scale") = 1.0, py::arg("master") = none, py::arg("decoupled") = false);
}

}  // namespace pyllm::bind_cuda
