#include "cpu/cross_entropy.h"

#include <vector>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/loss_options.h"

namespace pyllm::bind {
namespace {

std::span<const int64_t> rows_of(const Input& logits) {
  logits.require_float();
  if (logits->ndim == 0) {
    throw py::value_error("logits: expected at least one axis (the classes), got shape ()");
  }
  return logits.shape().first(logits->ndim - 1);
}

py::object forward(py::handle logits_object, py::handle targets, py::handle weight,
                   int64_t ignore_index, double label_smoothing, double z_loss,
                   const std::string& reduction, bool return_lse) {
  const Input logits(logits_object, "logits");
  const auto rows = rows_of(logits);
  const LossOptions options(targets, rows, logits->shape[logits->ndim - 1], weight, logits,
                            ignore_index, label_smoothing, z_loss, reduction);
  CrossEntropyArgs args;
  args.logits = logits.view();
  args.options = options.options();
  const DType dtype = loss_dtype(logits->dtype);
  const Output loss = make_output(logits, options.loss_shape(), dtype);
  args.loss = loss.view;
  if (!return_lse) {
    std::vector<double> lse(options.rows());
    args.lse.data = lse.data();
    run(logits->size(), [&] { cross_entropy_forward(args); });
    return loss.object;
  }
  const Output lse = make_output(logits, rows, dtype);
  args.lse = lse.view;
  run(logits->size(), [&] { cross_entropy_forward(args); });
  return py::make_tuple(loss.object, lse.object);
}

// The gradient of the loss: a number, or an array of one element, or of one a row.
std::vector<double> loss_gradient(py::handle object, const LossOptions& options,
                                  std::span<const int64_t> rows) {
  const bool per_row = options.options().reduction == Reduction::none;
  if (!py::isinstance<py::array>(object) && !py::hasattr(object, "__dlpack__")) {
    const double value = PyFloat_AsDouble(object.ptr());
    if (PyErr_Occurred()) {
      PyErr_Clear();
      throw py::type_error("grad: expected a number or an array, got " +
                           std::string(py::str(py::type::of(object).attr("__name__"))));
    }
    return std::vector<double>(per_row ? options.rows() : 1, value);
  }
  const Input grad(object, "grad");
  grad.require_dtype({DType::f32, DType::f64});
  if (per_row) {
    grad.require_shape(rows);
  } else if (grad->size() != 1) {
    throw py::value_error("grad: expected a single element, got shape " +
                          shape_string(grad.shape()));
  }
  std::vector<double> values;
  for_each_offset(grad.view(), [&](int64_t i) {
    values.push_back(grad->dtype == DType::f64 ? grad->as<double>()[i] : grad->as<float>()[i]);
  });
  return values;
}

py::object backward(py::handle grad, py::handle logits_object, py::handle targets,
                    py::handle lse_object, py::handle weight, int64_t ignore_index,
                    double label_smoothing, double z_loss, const std::string& reduction,
                    py::handle out) {
  const Input logits(logits_object, "logits"), lse(lse_object, "lse");
  const auto rows = rows_of(logits);
  const LossOptions options(targets, rows, logits->shape[logits->ndim - 1], weight, logits,
                            ignore_index, label_smoothing, z_loss, reduction);
  lse.require_dtype({loss_dtype(logits->dtype)}).require_shape(rows).require_contiguous();
  const std::vector<double> gradient = loss_gradient(grad, options, rows);
  CrossEntropyBackwardArgs args;
  args.logits = logits.view();
  args.lse = lse.view();
  args.grad = gradient.data();
  args.options = options.options();
  const Output dlogits = output_like(logits, out);
  require_no_overlap(dlogits.view, logits, true);
  require_no_overlap(dlogits.view, lse, false);
  args.dlogits = dlogits.view;
  run(logits->size(), [&] { cross_entropy_backward(args); });
  return dlogits.object;
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

}  // namespace pyllm::bind
