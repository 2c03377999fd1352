// Adafactor steps, in place.
#include <vector>

#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/optim_buffers.h"

namespace pyllm::bind_cuda {
namespace {

// float32, contiguous, writable, of this shape; null where there is none.
float* values_of(const std::unique_ptr<Input>& state, const char* name,
                 std::span<const int64_t> shape) {
  if (!state) bind::fail_value(name, "needed, got None");
  state->require_dtype({DType::f32}).require_shape(shape).require_contiguous().require_writable();
  return state->view().as<float>();
}

void adafactor(py::handle param_object, py::handle grad_object, py::handle row_object,
               py::handle col_object, py::handle square_object, py::handle exp_avg_object,
               double lr, double beta1, double beta2, double eps, double least_rms,
               double clip_threshold, double weight_decay, bool scale_parameter, double grad_scale,
               py::handle master_object) {
  Call call(param_object, "param");
  const Input param(call, param_object, "param"), grad(call, grad_object, "grad");
  require_kernel_float(param).require_contiguous().require_writable();
  if (grad->dtype != DType::f32) grad.require_dtype({param->dtype});
  grad.require_same_shape(param).require_contiguous();
  const auto master = optional_input(call, master_object, "master");
  const auto row = optional_input(call, row_object, "exp_avg_sq_row");
  const auto col = optional_input(call, col_object, "exp_avg_sq_col");
  const auto square = optional_input(call, square_object, "exp_avg_sq");
  const auto exp_avg = optional_input(call, exp_avg_object, "exp_avg");
  const auto shape = param.shape();

  AdafactorTensor tensor{};
  tensor.param = param->data, tensor.grad = grad->data;
  if (master) {
    if (size_of(param->dtype) != 2) {
      bind::fail_value("master", "only 16-bit parameters have one, param is " +
                                     std::string(name_of(param->dtype)));
    }
    tensor.master = values_of(master, "master", shape);
  }
  tensor.batches = tensor.rows = 1, tensor.cols = param->size();
  if (square) {
    tensor.square = values_of(square, "exp_avg_sq", shape);
  } else {
    if (shape.size() < 2) bind::fail_value("exp_avg_sq", "needed for a param of rank below 2");
    const std::vector<int64_t> of_row(shape.begin(), shape.end() - 1);
    std::vector<int64_t> of_col(shape.begin(), shape.end() - 2);
    tensor.rows = of_row.back(), tensor.cols = shape.back();
    for (const int64_t n : of_col) tensor.batches *= n;
    of_col.push_back(tensor.cols);
    tensor.row = values_of(row, "exp_avg_sq_row", of_row);
    tensor.col = values_of(col, "exp_avg_sq_col", of_col);
  }
  if (exp_avg) tensor.exp_avg = values_of(exp_avg, "exp_avg", shape);
  require_fraction(beta1, "beta1"), require_fraction(beta2, "beta2");
  if (!(clip_threshold > 0)) {
    bind::fail_value("clip_threshold",
                     "expected a positive number, got " + std::to_string(clip_threshold));
  }

  AdafactorStep args{};
  args.tensors = &tensor, args.count = 1, args.grad_factor = grad_scale;
  args.lr = lr, args.beta1 = beta1, args.beta2 = beta2, args.weight_decay = weight_decay;
  args.eps = eps, args.least_rms = least_rms, args.clip_threshold = clip_threshold;
  args.scale_parameter = scale_parameter;
  args.param_dtype = code_of(param->dtype), args.grad_dtype = code_of(grad->dtype);
  int64_t bytes = 0;
  args.workspace_bytes = &bytes;
  call.launch(&pyllm_cuda_adafactor_step, args);
  args.workspace_bytes = nullptr;
  args.workspace = call.workspace(static_cast<size_t>(bytes > 0 ? bytes : 1));
  call.launch(&pyllm_cuda_adafactor_step, args);
  call.finish();
}

}  // namespace

void bind_adafactor(py::module_& m) {
  m.def("adafactor_step", &adafactor, py::arg("param"), py::arg("grad"), py::arg("exp_avg_sq_row"),
        py::arg("exp_avg_sq_col"), py::arg("exp_avg_sq"), py::arg("exp_avg"), py::arg("lr"),
        py::arg("beta1"), py::arg("beta2"), py::arg("eps"), py::arg("least_rms"),
        py::arg("clip_threshold"), py::arg("weight_decay"), py::arg("scale_parameter"),
        py::arg("grad_scale") = 1.0, py::arg("master") = py::none());
}

}  // namespace pyllm::bind_cuda
