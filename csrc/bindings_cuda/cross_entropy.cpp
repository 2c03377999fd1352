#include <vector>

#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/loss.h"

namespace pyllm::bind_cuda {
namespace {

std::span<const int64_t> rows_of(const Input& logits) {
  require_kernel_float(logits);
  if (logits->ndim == 0) {
    bind::fail_value("logits", "expected at least one axis (the classes), got shape ()");
  }
  return logits.shape().first(static_cast<size_t>(logits->ndim - 1));
}

py::object forward(py::handle logits_object, py::handle targets, py::handle weight,
                   int64_t ignore_index, double label_smoothing, double z_loss,
                   const std::string& reduction, bool return_lse) {
  Call call(logits_object, "logits");
  const Input logits(call, logits_object, "logits");
  const auto rows = rows_of(logits);
  const Loss loss(call, logits, rows, logits->shape[logits->ndim - 1], targets, weight,
                  ignore_index, label_smoothing, z_loss, reduction);
  const Rows from = read_rows(call, logits.view());
  const Output result(call, logits, loss.shape(), DType::f32);
  const Output lse = return_lse ? Output(call, logits, rows, DType::f32) : Output();
  CrossEntropyForward args{};
  loss.fill(args);
  args.logits = from.data, args.logits_row_stride = from.stride;
  args.losses = loss.per_row() ? result.view().as<float>() : call.workspace_of<float>(loss.rows());
  args.lse = return_lse ? lse.view().as<float>() : call.workspace_of<float>(loss.rows());
  embedded::launch(call, &embedded::cross_entropy_forward, &pyllm_cuda_cross_entropy_forward, args);
  if (!loss.per_row()) loss.reduce(call, args.losses, result.view().as<float>());
  call.finish();
  if (!return_lse) return result.object();
  return py::make_tuple(result.object(), lse.object());
}

bool is_array(py::handle object) {
  return py::isinstance<DeviceArray>(object) || py::hasattr(object, "__dlpack__") ||
         py::hasattr(object, "__cuda_array_interface__");
}

py::object backward(py::handle grad_object, py::handle logits_object, py::handle targets,
                    py::handle lse_object, py::handle weight, int64_t ignore_index,
                    double label_smoothing, double z_loss, const std::string& reduction,
                    py::handle out) {
  Call call(logits_object, "logits");
  const Input logits(call, logits_object, "logits"), lse(call, lse_object, "lse");
  const auto rows = rows_of(logits);
  const Loss loss(call, logits, rows, logits->shape[logits->ndim - 1], targets, weight,
                  ignore_index, label_smoothing, z_loss, reduction);
  lse.require_dtype({DType::f32}).require_shape(loss.row_shape()).require_contiguous();
  CrossEntropyBackward args{};
  loss.fill(args);
  args.mean = loss.mean();
  args.grad_scale = 1.0f;
  std::unique_ptr<Input> grad;
  if (is_array(grad_object)) {
    grad = std::make_unique<Input>(call, grad_object, "grad");
    grad->require_dtype({DType::f32});
    if (loss.per_row()) {
      grad->require_shape(loss.row_shape());
      args.grad_per_row = 1;
    } else if ((*grad)->size() != 1) {
      bind::fail_value("grad",
                       "expected a single element, got shape " + bind::shape_string(grad->shape()));
    }
    args.grad = read_contiguous(call, grad->view()).as<float>();
  } else {
    const double value = PyFloat_AsDouble(grad_object.ptr());
    if (PyErr_Occurred()) {
      PyErr_Clear();
      bind::fail_type("grad", "expected a number or an array, got " +
                                  std::string(py::str(py::type::of(grad_object).attr("__name__"))));
    }
    args.grad_scale = static_cast<float>(value);
  }
  const Output dlogits = Output::like(call, logits, out);
  bind::require_no_overlap(dlogits.view(), logits, true);
  bind::require_no_overlap(dlogits.view(), lse, false);
  const Rows from = read_rows(call, logits.view());
  const RowsToWrite to(call, dlogits.view());
  args.logits = from.data, args.logits_row_stride = from.stride;
  args.lse = lse.view().as<float>();
  args.dlogits = to.rows().data, args.dlogits_row_stride = to.rows().stride;
  embedded::launch(call, &embedded::cross_entropy_backward, &pyllm_cuda_cross_entropy_backward,
                   args);
  to.finish(call);
  call.finish();
  return dlogits.object();
}

}  // namespace

void bind_cross_entropy(py::module_& m) {
  const auto none = py::none();
  m.def("cross_entropy", &forward, py::arg("logits"), py::arg("targets"), py::arg("weight") = none,
        py::arg("ignore_index") = -100, py::arg("label_smoothing") = 0.0, py::arg("z_loss") = 0.0,
        py::arg("reduction") = "mean", py::arg("return_lse") = false);
  m.def("cross_entropy_backward", &backward, py::arg("grad"), py::arg("logits"), py::arg("targets"),
        py::arg("lse"), py::arg("weight") = none, py::arg("ignore_index") = -100,
        py::arg("label_smoothing") = 0.0, py::arg("z_loss") = 0.0, py::arg("reduction") = "mean",
        py::arg("out") = none);
}

}  // namespace pyllm::bind_cuda
