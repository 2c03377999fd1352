#include <algorithm>
#include <cmath>

#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {
namespace {

using bind::require_no_overlap;

enum class Norm { layer, rms };

const Argument& require_normalisable(const Input& x) {
  require_kernel_float(x);
  if (x->ndim == 0) bind::fail_value(x.name(), "expected at least one axis");
  return x;
}

// weight and bias: (n,), in x's dtype or float32. Launchers take one dtype for both.
class Parameters {
 public:
  Parameters(Call& call, const Input& x, py::handle weight, py::handle bias)
      : weight_(optional_input(call, weight, "weight")), bias_(optional_input(call, bias, "bias")) {
    for (const auto* p : {&weight_, &bias_}) {
      if (!*p) continue;
      (*p)->require_dtype({x->dtype, DType::f32}).require_shape({x->shape[x->ndim - 1]});
    }
    if (weight_ && bias_) bias_->require_same_dtype(*weight_);
    dtype_ = weight_ ? (*weight_)->dtype : bias_ ? (*bias_)->dtype : x->dtype;
    if (weight_) weight_data_ = read_contiguous(call, weight_->view()).data;
    if (bias_) bias_data_ = read_contiguous(call, bias_->view()).data;
  }

  const Input* weight() const { return weight_.get(); }
  const void* weight_data() const { return weight_data_; }
  const void* bias_data() const { return bias_data_; }
  DType dtype() const { return dtype_; }
  void require_apart(const Output& y) const {
    for (const auto* p : {&weight_, &bias_}) {
      if (*p) require_no_overlap(y.view(), **p, false);
    }
  }

 private:
  std::unique_ptr<Input> weight_, bias_;
  const void* weight_data_ = nullptr;
  const void* bias_data_ = nullptr;
  DType dtype_;
};

std::span<const int64_t> leading(const Input& x) {
  return x.shape().first(static_cast<size_t>(x->ndim - 1));
}

py::object forward(Norm kind, py::handle x_object, py::handle weight, py::handle bias,
                   py::handle residual_object, double eps, py::handle out, bool return_stats) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x");
  require_normalisable(x);
  if (!(eps >= 0) || std::isinf(eps)) {
    bind::fail_value("eps", "expected 0 or more, finite, got " + std::to_string(eps));
  }
  const Parameters parameters(call, x, weight, bias);
  const auto residual = optional_input(call, residual_object, "residual");
  const Output y = Output::like(call, x, out);
  require_no_overlap(y.view(), x, true);
  parameters.require_apart(y);
  const Rows from = read_rows(call, x.view());
  const RowsToWrite to(call, y.view());
  NormForward args{};
  args.x = from.data, args.x_row_stride = from.stride;
  args.y = to.rows().data, args.y_row_stride = to.rows().stride;
  args.rows = from.rows, args.n = from.n;
  args.weight = parameters.weight_data(), args.bias = parameters.bias_data();
  args.eps = static_cast<float>(eps);
  args.dtype = code_of(x->dtype), args.parameter_dtype = code_of(parameters.dtype());
  args.rms = kind == Norm::rms;
  Output sum, mean, rstd;
  if (residual) {
    residual->require_same_dtype(x).require_same_shape(x);
    require_no_overlap(y.view(), *residual, true);
    const Rows other = read_rows(call, residual->view());
    args.residual = other.data, args.residual_row_stride = other.stride;
    sum = Output(call, x, x.shape(), x->dtype);
    args.sum = sum.view().data, args.sum_row_stride = from.n;
  }
  if (return_stats) {
    if (kind == Norm::layer) mean = Output(call, x, leading(x), DType::f32);
    rstd = Output(call, x, leading(x), DType::f32);
    args.mean = mean.view().as<float>(), args.rstd = rstd.view().as<float>();
  }
  embedded::launch(call, &embedded::norm_forward, &pyllm_cuda_norm_forward, args);
  to.finish(call);
  call.finish();
  if (!residual && !return_stats) return y.object();
  py::list results;
  results.append(y.object());
  if (residual) results.append(sum.object());
  if (args.mean) results.append(mean.object());
  if (args.rstd) results.append(rstd.object());
  return py::tuple(results);
}

py::object backward(Norm kind, py::handle dy_object, py::handle x_object, py::handle weight_object,
                    py::handle mean_object, py::handle rstd_object, py::handle grad_sum_object,
                    py::handle out) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x"), dy(call, dy_object, "grad"), rstd(call, rstd_object, "rstd");
  require_normalisable(x);
  dy.require_same_dtype(x).require_same_shape(x);
  rstd.require_dtype({DType::f32}).require_shape(leading(x)).require_contiguous();
  const auto mean = optional_input(call, mean_object, "mean");
  if (mean) mean->require_dtype({DType::f32}).require_shape(leading(x)).require_contiguous();
  const Parameters parameters(call, x, weight_object, py::none());
  const Output dx = Output::like(call, x, out);
  require_no_overlap(dx.view(), x, true);
  require_no_overlap(dx.view(), dy, true);
  parameters.require_apart(dx);
  const Rows from = read_rows(call, x.view()), gradient = read_rows(call, dy.view());
  const RowsToWrite to(call, dx.view());
  NormBackward args{};
  args.x = from.data, args.x_row_stride = from.stride;
  args.dy = gradient.data, args.dy_row_stride = gradient.stride;
  args.dx = to.rows().data, args.dx_row_stride = to.rows().stride;
  args.rows = from.rows, args.n = from.n;
  args.weight = parameters.weight_data();
  args.mean = mean ? mean->view().as<float>() : nullptr, args.rstd = rstd.view().as<float>();
  args.dtype = code_of(x->dtype), args.parameter_dtype = code_of(parameters.dtype());
  const auto grad_sum = optional_input(call, grad_sum_object, "grad_sum");
  if (grad_sum) {
    grad_sum->require_same_dtype(x).require_same_shape(x);
    require_no_overlap(dx.view(), *grad_sum, true);
    const Rows more = read_rows(call, grad_sum->view());
    args.grad_sum = more.data, args.grad_sum_row_stride = more.stride;
  }
  // Two blocks a multiprocessor keep memory busy; more only make more partial sums.
  args.partial_rows = std::clamp<int64_t>(from.rows, 1, 2 * multiprocessors(call.device()));
  Output dweight, dbias;
  if (const Input* weight = parameters.weight()) {
    dweight = Output(call, *weight, weight->shape(), (*weight)->dtype);
    args.dweight = dweight.view().data;
    if (kind == Norm::layer) {
      dbias = Output(call, *weight, weight->shape(), (*weight)->dtype);
      args.dbias = dbias.view().data;
    }
    args.partial = call.workspace_of<float>(2 * args.partial_rows * from.n);
  }
  embedded::launch(call, &embedded::norm_backward, &pyllm_cuda_norm_backward, args);
  to.finish(call);
  call.finish();
  if (kind == Norm::rms) return py::make_tuple(dx.object(), dweight.object());
  return py::make_tuple(dx.object(), dweight.object(), dbias.object());
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

}  // namespace pyllm::bind_cuda
