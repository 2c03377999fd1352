#include "cpu/softmax.h"

#include <cmath>
#include <optional>

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

double checked_temperature(double temperature) {
  if (!(temperature > 0) || std::isinf(temperature)) {
    throw py::value_error("temperature: expected a positive finite number, got " +
                          std::to_string(temperature));
  }
  return temperature;
}

py::object forward(py::handle x_object, int64_t axis, double temperature, py::handle mask_object,
                   py::handle out, bool log) {
  const Input x(x_object, "x");
  x.require_float();
  SoftmaxArgs args;
  args.x = x.view();
  args.axis = normalize_axis(axis, x->ndim);
  args.temperature = checked_temperature(temperature);
  args.log = log;
  const auto mask = optional_input(mask_object, "mask");
  Array mask_view;
  if (mask) {
    mask->require_dtype({DType::boolean, DType::f32, DType::bf16, DType::f16, DType::f64});
    mask_view = broadcast(*mask, x.shape());
    args.mask = &mask_view;
  }
  const Output y = output_like(x, out);
  require_no_overlap(y.view, x, true);
  args.y = y.view;
  run(x->size(), [&] { softmax_forward(args); });
  return y.object;
}

py::object backward(py::handle dy_object, py::handle y_object, int64_t axis, double temperature,
                    py::handle out, bool log) {
  const Input y(y_object, "y"), dy(dy_object, "grad");
  y.require_float();
  dy.require_same_shape(y).require_same_dtype(y);
  SoftmaxBackwardArgs args;
  args.y = y.view();
  args.dy = dy.view();
  args.axis = normalize_axis(axis, y->ndim);
  args.temperature = checked_temperature(temperature);
  args.log = log;
  const Output dx = output_like(y, out);
  require_no_overlap(dx.view, y, true);
  require_no_overlap(dx.view, dy, true);
  args.dx = dx.view;
  run(y->size(), [&] { softmax_backward(args); });
  return dx.object;
}

}  // namespace

void bind_softmax(py::module_& m) {
  const auto none = py::none();
  m.def(
      "softmax",
      [](py::handle x, int64_t axis, double temperature, py::handle mask, py::handle out) {
        return forward(x, axis, temperature, mask, out, false);
      },
      py::arg("x"), py::arg("axis") = -1, py::arg("temperature") = 1.0, py::arg("mask") = none,
      py::arg("out") = none);
  m.def(
      "log_softmax",
      [](py::handle x, int64_t axis, double temperature, py::handle mask, py::handle out) {
        return forward(x, axis, temperature, mask, out, true);
      },
      py::arg("x"), py::arg("axis") = -1, py::arg("temperature") = 1.0, py::arg("mask") = none,
      py::arg("out") = none);
  m.def(
      "softmax_backward",
      [](py::handle dy, py::handle y, int64_t axis, double temperature, py::handle out) {
        return backward(dy, y, axis, temperature, out, false);
      },
      py::arg("grad"), py::arg("y"), py::arg("axis") = -1, py::arg("temperature") = 1.0,
      py::arg("out") = none);
  m.def(
      "log_softmax_backward",
      [](py::handle dy, py::handle y, int64_t axis, double temperature, py::handle out) {
        return backward(dy, y, axis, temperature, out, true);
      },
      py::arg("grad"), py::arg("y"), py::arg("axis") = -1, py::arg("temperature") = 1.0,
      py::arg("out") = none);
}

}  // namespace pyllm::bind
