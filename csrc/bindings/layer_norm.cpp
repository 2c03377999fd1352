#include "cpu/layer_norm.h"

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

DType compute_type(DType storage) {
  return storage == DType::f64 ? DType::f64 : DType::f32;
}

int64_t last_axis(const Input& x) {
  x.require_float();
  if (x->ndim < 1) throw py::value_error(std::string(x.name()) + ": expected at least one axis");
  return x.shape(x->ndim - 1);
}

std::unique_ptr<Input> optional_like(py::handle object, const char* name, const Input& x) {
  auto input = optional_input(object, name);
  if (input) input->require_same_dtype(x).require_same_shape(x);
  return input;
}

std::unique_ptr<Input> optional_parameter(py::handle object, const char* name, const Input& x) {
  auto input = optional_input(object, name);
  if (input) input->require_same_dtype(x).require_shape({last_axis(x)});
  return input;
}

const Array* view_of(const std::unique_ptr<Input>& input) {
  return input ? &input->view() : nullptr;
}

py::object forward(py::handle x_object, py::handle weight_object, py::handle bias_object,
                   py::handle residual_object, double eps, py::handle out, bool return_stats) {
  const Input x(x_object, "x");
  const int64_t n = last_axis(x);
  if (!(eps >= 0)) throw py::value_error("eps: expected 0 or more, got " + std::to_string(eps));
  const auto weight = optional_parameter(weight_object, "weight", x);
  const auto bias = optional_parameter(bias_object, "bias", x);
  const auto residual = optional_like(residual_object, "residual", x);
  LayerNormArgs args;
  args.x = x.view(), args.eps = eps;
  args.weight = view_of(weight), args.bias = view_of(bias), args.residual = view_of(residual);
  const Output y = output_like(x, out);
  require_no_overlap(y.view, x, !residual);
  if (residual) require_no_overlap(y.view, *residual, false);
  args.y = y.view;
  Output sum;
  if (residual) {
    sum = output_like(x);
    args.sum = &sum.view;
  }
  const std::span<const int64_t> rows = x.shape().first(x->ndim - 1);
  const Output mean = make_output(x, rows, compute_type(x->dtype));
  const Output rstd = make_output(x, rows, compute_type(x->dtype));
  args.mean = mean.view, args.rstd = rstd.view;
  if (n > 0) run(x->size(), [&] { layer_norm_forward(args); });
  if (!residual && !return_stats) return y.object;
  py::list results;
  results.append(y.object);
  if (residual) results.append(sum.object);
  if (return_stats) results.append(mean.object), results.append(rstd.object);
  return py::tuple(results);
}

py::object backward(py::handle grad_object, py::handle x_object, py::handle weight_object,
                    py::handle mean_object, py::handle rstd_object, py::handle grad_sum_object,
                    py::handle out) {
  const Input x(x_object, "x"), grad(grad_object, "grad");
  const Input mean(mean_object, "mean"), rstd(rstd_object, "rstd");
  const int64_t n = last_axis(x);
  grad.require_same_dtype(x).require_same_shape(x);
  const std::span<const int64_t> rows = x.shape().first(x->ndim - 1);
  for (const Input* stat : {&mean, &rstd}) {
    stat->require_dtype({compute_type(x->dtype)}).require_shape(rows).require_contiguous();
  }
  const auto weight = optional_parameter(weight_object, "weight", x);
  const auto grad_sum = optional_like(grad_sum_object, "grad_sum", x);
  LayerNormBackwardArgs args;
  args.grad = grad.view(), args.s = x.view(), args.mean = mean.view(), args.rstd = rstd.view();
  args.weight = view_of(weight), args.grad_sum = view_of(grad_sum);
  const Output dx = output_like(x, out);
  for (const Input* in : {&grad, &x}) require_no_overlap(dx.view, *in, true);
  if (grad_sum) require_no_overlap(dx.view, *grad_sum, true);
  args.dx = dx.view;
  Output dweight, dbias;
  dweight.object = dbias.object = py::none();
  if (weight) {
    dweight = make_output(x, {n}, x->dtype), dbias = make_output(x, {n}, x->dtype);
    args.dweight = &dweight.view, args.dbias = &dbias.view;
  }
  if (n > 0) run(x->size(), [&] { layer_norm_backward(args); });
  return py::make_tuple(dx.object, dweight.object, dbias.object);
}

}  // namespace

void bind_layer_norm(py::module_& m) {
  const auto none = py::none();
  m.def("layer_norm", &forward, py::arg("x"), py::arg("weight") = none, py::arg("bias") = none,
        py::arg("residual") = none, py::arg("eps") = 1e-5, py::arg("out") = none,
        py::arg("return_stats") = false);
  m.def("layer_norm_backward", &backward, py::arg("grad"), py::arg("x"), py::arg("weight"),
        py::arg("mean"), py::arg("rstd"), py::arg("grad_sum") = none, py::arg("out") = none);
}

}  // namespace pyllm::bind
