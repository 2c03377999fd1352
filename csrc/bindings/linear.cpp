#include "cpu/linear.h"

#include <vector>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/gradient_buffer.h"

namespace pyllm::bind {
namespace {

Activation activation_of(const py::object& name) {
  if (name.is_none()) return Activation::none;
  const std::string text = py::isinstance<py::str>(name) ? std::string(py::str(name)) : "";
  if (text == "relu") return Activation::relu;
  if (text == "gelu") return Activation::gelu;
  if (text == "gelu_tanh") return Activation::gelu_tanh;
  if (text == "silu") return Activation::silu;
  throw py::value_error("activation: expected None, 'relu', 'gelu', 'gelu_tanh' or 'silu', got " +
                        std::string(py::repr(name)));
}

// x (..., in) and weight (out, in): returns the shape (..., out).
std::vector<int64_t> checked_shape(const Input& x, const Input& weight) {
  x.require_float();
  weight.require_same_dtype(x).require_ndim(2);
  if (x->ndim == 0 || x->shape[x->ndim - 1] != weight.shape(1)) {
    throw py::value_error("x: expected " + std::to_string(weight.shape(1)) +
                          " features along the last axis, as weight of shape " +
                          shape_string(weight.shape()) + " has, got shape " +
                          shape_string(x.shape()));
  }
  std::vector<int64_t> shape(x.shape().begin(), x.shape().end());
  shape.back() = weight.shape(0);
  return shape;
}

py::object forward(py::handle x_object, py::handle weight_object, py::handle bias_object,
                   const py::object& activation, py::handle out, bool return_preactivation) {
  const Input x(x_object, "x"), weight(weight_object, "weight");
  const auto shape = checked_shape(x, weight);
  LinearArgs args;
  args.x = x.view(), args.weight = weight.view();
  args.activation = activation_of(activation);
  const auto bias = optional_input(bias_object, "bias");
  if (bias) {
    bias->require_same_dtype(x).require_shape({weight.shape(0)});
    args.bias = &bias->view();
  }
  const Output y = make_output(x, out, shape, x->dtype);
  require_no_overlap(y.view, x, false);
  require_no_overlap(y.view, weight, false);
  if (bias) require_no_overlap(y.view, *bias, false);
  args.y = y.view;
  Output preactivation;
  if (return_preactivation && args.activation != Activation::none) {
    preactivation = make_output(x, shape, x->dtype);
    args.preactivation = &preactivation.view;
  }
  run(x->size() + weight->size(), [&] { linear_forward(args); });
  if (!return_preactivation) return y.object;
  return py::make_tuple(y.object, args.preactivation ? preactivation.object : y.object);
}

py::object backward(py::handle grad_object, py::handle x_object, py::handle weight_object,
                    bool has_bias, const py::object& activation, py::handle preactivation_object,
                    bool need_dx, bool need_dweight, py::handle dx_out, py::handle dweight_out,
                    py::handle dbias_out, bool accumulate) {
  const Input x(x_object, "x"), weight(weight_object, "weight"), grad(grad_object, "grad");
  const auto shape = checked_shape(x, weight);
  grad.require_same_dtype(x).require_shape(shape);
  LinearBackwardArgs args;
  args.grad = grad.view(), args.x = x.view(), args.weight = weight.view();
  args.activation = activation_of(activation);
  args.accumulate = accumulate;
  const auto preactivation = optional_input(preactivation_object, "preactivation");
  if (args.activation != Activation::none) {
    if (!preactivation) {
      throw py::value_error(
          "preactivation: needed with an activation; the forward gives it with "
          "return_preactivation=True");
    }
    preactivation->require_same_dtype(x).require_shape(shape);
    args.preactivation = &preactivation->view();
  }
  Output dx, dweight, dbias;
  dx.object = dweight.object = dbias.object = py::none();
  if (need_dx) {
    dx = make_output(x, dx_out, x.shape(), x->dtype, "dx_out");
    for (const Input* in : {&x, &weight, &grad}) require_no_overlap(dx.view, *in, false);
    args.dx = &dx.view;
  }
  if (need_dweight) {
    dweight = gradient_buffer(weight, dweight_out, {weight.shape(0), weight.shape(1)},
                              "dweight_out", accumulate);
    for (const Input* in : {&x, &weight, &grad}) require_no_overlap(dweight.view, *in, false);
    args.dweight = &dweight.view;
  }
  if (has_bias) {
    dbias = gradient_buffer(weight, dbias_out, {weight.shape(0)}, "dbias_out", accumulate);
    for (const Input* in : {&x, &weight, &grad}) require_no_overlap(dbias.view, *in, false);
    args.dbias = &dbias.view;
  }
  run(x->size() + weight->size(), [&] { linear_backward(args); });
  return py::make_tuple(dx.object, dweight.object, dbias.object);
}

}  // namespace

void bind_linear(py::module_& m) {
  const auto none = py::none();
  m.def("linear", &forward, py::arg("x"), py::arg("weight"), py::arg("bias") = none,
        py::arg("activation") = none, py::arg("out") = none,
        py::arg("return_preactivation") = false);
  m.def("linear_backward", &backward, py::arg("grad"), py::arg("x"), py::arg("weight"),
        py::arg("bias") = false, py::arg("activation") = none, py::arg("preactivation") = none,
        py::arg("need_dx") = true, py::arg("need_dweight") = true, py::arg("dx_out") = none,
        py::arg("dweight_out") = none, py::arg("dbias_out") = none, py::arg("accumulate") = false);
}

}  // namespace pyllm::bind
