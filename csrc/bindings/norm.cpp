#include "cpu/norm.h"

#include <cmath>

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

DType statistics_dtype(DType dtype) {
  return dtype == DType::f64 ? DType::f64 : DType::f32;
}

const Input& require_normalisable(const Input& x) {
  x.require_float();
  if (x->ndim == 0) throw py::value_error(std::string(x.name()) + ": expected at least one axis");
  return x;
}

// weight or bias: (n,), in x's dtype or float32.
const Array* affine_view(const std::unique_ptr<Input>& a, const Input& x) {
  if (!a) return nullptr;
  a->require_dtype({x->dtype, statistics_dtype(x->dtype)});
  a->require_shape({x->shape[x->ndim - 1]});
  return &a->view();
}

std::span<const int64_t> leading(const Input& x) {
  return x.shape().first(static_cast<size_t>(x->ndim - 1));
}

py::object forward(Norm kind, py::handle x_object, py::handle weight_object, py::handle bias_object,
                   py::handle residual_object, double eps, py::handle out, bool return_stats) {
  const Input x(x_object, "x");
  require_normalisable(x);
  if (!(eps >= 0) || std::isinf(eps)) {
    throw py::value_error("eps: expected 0 or more, finite, got " + std::to_string(eps));
  }
  const auto weight = optional_input(weight_object, "weight");
  const auto bias = optional_input(bias_object, "bias");
  const auto residual = optional_input(residual_object, "residual");
  NormArgs args;
  args.kind = kind;
  args.eps = eps;
  args.x = x.view();
  args.weight = affine_view(weight, x);
  args.bias = affine_view(bias, x);
  const Output y = output_like(x, out);
  require_no_overlap(y.view, x, true);
  for (const auto* in : {&weight, &bias}) {
    if (*in) require_no_overlap(y.view, **in, false);
  }
  args.y = y.view;
  Output sum, mean, rstd;
  if (residual) {
    residual->require_same_dtype(x).require_same_shape(x);
    require_no_overlap(y.view, *residual, true);
    sum = output_like(x);
    args.residual = &residual->view();
    args.sum = &sum.view;
  }
  if (return_stats) {
    const DType dtype = statistics_dtype(x->dtype);
    if (kind == Norm::layer) {
      mean = make_output(x, leading(x), dtype);
      args.mean = &mean.view;
    }
    rstd = make_output(x, leading(x), dtype);
    args.rstd = &rstd.view;
  }
  run(x->size(), [&] { norm_forward(args); });
  if (!residual && !return_stats) return y.object;
  py::list results;
  results.append(y.object);
  if (residual) results.append(sum.object);
  if (args.mean) results.append(mean.object);
  if (args.rstd) results.append(rstd.object);
  return py::tuple(results);
}

py::object backward(Norm kind, py::handle dy_object, py::handle x_object, py::handle weight_object,
                    py::handle mean_object, py::handle rstd_object, py::handle grad_sum_object,
                    py::handle out) {
  const Input x(x_object, "x"), dy(dy_object, "grad"), rstd(rstd_object, "rstd");
  require_normalisable(x);
  dy.require_same_dtype(x).require_same_shape(x);
  NormBackwardArgs args;
  args.kind = kind;
  args.x = x.view();
  args.dy = dy.view();
  const DType dtype = statistics_dtype(x->dtype);
  rstd.require_dtype({dtype}).require_shape(leading(x)).require_contiguous();
  args.rstd = rstd.view();
  const auto mean = optional_input(mean_object, "mean");
  if (mean) {
    mean->require_dtype({dtype}).require_shape(leading(x)).require_contiguous();
    args.mean = &mean->view();
  }
  const auto weight = optional_input(weight_object, "weight");
  args.weight = affine_view(weight, x);
  const Output dx = output_like(x, out);
  require_no_overlap(dx.view, x, true);
  require_no_overlap(dx.view, dy, true);
  args.dx = dx.view;
  const auto grad_sum = optional_input(grad_sum_object, "grad_sum");
  if (grad_sum) {
    grad_sum->require_same_dtype(x).require_same_shape(x);
    require_no_overlap(dx.view, *grad_sum, true);
    args.grad_sum = &grad_sum->view();
  }
  Output dweight, dbias;
  dweight.object = dbias.object = py::none();
  if (weight) {
    require_no_overlap(dx.view, *weight, false);
    dweight = make_output(*weight, weight->shape(), (*weight)->dtype);
    args.dweight = &dweight.view;
    if (kind == Norm::layer) {
      dbias = make_output(*weight, weight->shape(), (*weight)->dtype);
      args.dbias = &dbias.view;
    }
  }
  run(x->size(), [&] { norm_backward(args); });
  if (kind == Norm::rms) return py::make_tuple(dx.object, dweight.object);
  return py::make_tuple(dx.object, dweight.object, dbias.object);
}

}  // namespace

void bind_norm(py::module_& m) {
  m.def("layer_norm", [](py::handle x, py::handle weight, py::handle bias, py::handle residual,
                         double eps, py::handle out, bool return_stats) {
    return forward(Norm::layer, x, weight, bias, residual, eps, out, return_stats);
  });
  m.def("rms_norm", [](py::handle x, py::handle weight, py::handle residual, double eps,
                       py::handle out, bool return_stats) {
    return forward(Norm::rms, x, weight, py::none(), residual, eps, out, return_stats);
  });
  m.def("layer_norm_backward", [](py::handle dy, py::handle x, py::handle weight, py::handle mean,
                                  py::handle rstd, py::handle grad_sum, py::handle out) {
    return backward(Norm::layer, dy, x, weight, mean, rstd, grad_sum, out);
  });
  m.def("rms_norm_backward", [](py::handle dy, py::handle x, py::handle weight, py::handle rstd,
                                py::handle grad_sum, py::handle out) {
    return backward(Norm::rms, dy, x, weight, py::none(), rstd, grad_sum, out);
  });
}

}  // namespace pyllm::bind
