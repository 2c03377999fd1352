// linear and its gradients: products by cuBLASLt, with bias, relu and the GELU by tanh in its
// epilogue; other activations, and any whose input is asked for, by a kernel after it.
#include <optional>
#include <vector>

#include "bindings_cuda/activation_arguments.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/gradient_buffer.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/matrices.h"

namespace pyllm::bind_cuda {
namespace {

using bind::require_no_overlap;
using bind::shape_string;

// Nothing for None.
std::optional<int32_t> activation_of(const py::object& name) {
  if (name.is_none()) return std::nullopt;
  const std::string text = py::isinstance<py::str>(name) ? std::string(py::str(name)) : "";
  if (text == "relu") return cuda::kRelu;
  if (text == "gelu") return cuda::kGelu;
  if (text == "gelu_tanh") return cuda::kGeluTanh;
  if (text == "silu") return cuda::kSilu;
  bind::fail_value("activation", "expected None, 'relu', 'gelu', 'gelu_tanh' or 'silu', got " +
                                     std::string(py::repr(name)));
}

// x (..., in) and weight (out, in): returns the shape (..., out).
std::vector<int64_t> checked_shape(const Input& x, const Input& weight) {
  require_kernel_float(x);
  weight.require_same_dtype(x).require_ndim(2);
  if (x->ndim == 0 || x->shape[x->ndim - 1] != weight.shape(1)) {
    bind::fail_value("x", "expected " + std::to_string(weight.shape(1)) +
                              " features along the last axis, as weight of shape " +
                              shape_string(weight.shape()) + " has, got shape " +
                              shape_string(x.shape()));
  }
  std::vector<int64_t> shape(x.shape().begin(), x.shape().end());
  shape.back() = weight.shape(0);
  return shape;
}

void activate(Call& call, int32_t kind, const Rows& x, const Rows& y, DType dtype) {
  ActivationForward args{};
  args.x = x.data, args.x_row_stride = x.stride;
  args.y = y.data, args.y_row_stride = y.stride;
  args.rows = x.rows, args.n = x.n;
  args.kind = kind, args.dtype = code_of(dtype);
  call.launch(&pyllm_cuda_activation_forward, args);
}

// y = x weight^T + bias, where there is anything to sum over.
void product(Call& call, const Matrices& x, const Matrices& weight, const void* bias,
             Epilogue epilogue, const Rows& y) {
  if (y.rows == 0 || y.n == 0) return;
  Product p;
  p.a = x, p.b = weight.transposed(), p.c = matrix_of(y, x.dtype);
  p.epilogue = epilogue, p.bias = bias;
  if (x.columns > 0) {
    multiply(call, p);
    return;
  }
  // Nothing to sum over: the bias in every row, or zeros.
  Array rows;
  rows.data = y.data, rows.dtype = x.dtype, rows.ndim = 2;
  rows.shape = {y.rows, y.n}, rows.strides = {y.stride, 1};
  Array repeated = rows;
  repeated.data = const_cast<void*>(bias);
  repeated.strides = {0, 1};
  call.copy(repeated, rows);  // without a bias, from nothing
  if (epilogue == Epilogue::relu || epilogue == Epilogue::relu_bias) {
    activate(call, cuda::kRelu, y, y, x.dtype);
  } else if (epilogue == Epilogue::gelu_tanh || epilogue == Epilogue::gelu_tanh_bias) {
    activate(call, cuda::kGeluTanh, y, y, x.dtype);
  }
}

py::object forward(py::handle x_object, py::handle weight_object, py::handle bias_object,
                   const py::object& activation_object, py::handle out, bool return_preactivation) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x"), weight(call, weight_object, "weight");
  const auto shape = checked_shape(x, weight);
  const auto activation = activation_of(activation_object);
  const auto bias = optional_input(call, bias_object, "bias");
  if (bias) bias->require_same_dtype(x).require_shape({weight.shape(0)});
  const Output y(call, x, out, shape, x->dtype);
  require_no_overlap(y.view(), x, false);
  require_no_overlap(y.view(), weight, false);
  if (bias) require_no_overlap(y.view(), *bias, false);

  const void* bias_data = bias ? read_contiguous(call, bias->view()).data : nullptr;
  const Matrices x_rows = matrix_of(read_rows(call, x.view()), x->dtype);
  const Matrices weights = read_matrix(call, weight.view());
  const RowsToWrite to(call, y.view());
  const bool keep = return_preactivation && activation;
  const bool in_epilogue =
      activation && !keep && (*activation == cuda::kRelu || *activation == cuda::kGeluTanh);
  Epilogue epilogue = bias ? Epilogue::bias : Epilogue::none;
  if (in_epilogue && *activation == cuda::kRelu) {
    epilogue = bias ? Epilogue::relu_bias : Epilogue::relu;
  } else if (in_epilogue) {
    epilogue = bias ? Epilogue::gelu_tanh_bias : Epilogue::gelu_tanh;
  }
  const Output preactivation = keep ? Output(call, x, shape, x->dtype) : Output();
  const Rows linear = keep ? read_rows(call, preactivation.view()) : to.rows();
  product(call, x_rows, weights, bias_data, epilogue, linear);
  if (activation && !in_epilogue) activate(call, *activation, linear, to.rows(), x->dtype);
  to.finish(call);
  call.finish();
  const py::object result = y.object();
  if (!return_preactivation) return result;
  return py::make_tuple(result, keep ? preactivation.object() : result);
}

// Through the activation, into memory of the call.
Rows through_activation(Call& call, int32_t kind, const Rows& grad, const Input& preactivation) {
  const Rows inputs = read_rows(call, preactivation.view());
  const Rows to = read_rows(call, workspace_like(call, preactivation.view()));
  ActivationBackward args{};
  args.dy = grad.data, args.dy_row_stride = grad.stride;
  args.x = inputs.data, args.x_row_stride = inputs.stride;
  args.dx = to.data, args.dx_row_stride = to.stride;
  args.rows = to.rows, args.n = to.n;
  args.kind = kind, args.dtype = code_of(preactivation->dtype);
  call.launch(&pyllm_cuda_activation_backward, args);
  return to;
}

Array as_matrix(const Rows& r, DType dtype) {
  Array a;
  a.data = r.data, a.dtype = dtype, a.ndim = 2;
  a.shape = {r.rows, r.n}, a.strides = {r.stride, 1};
  return a;
}

Array transposed(Array a) {
  std::swap(a.shape[0], a.shape[1]);
  std::swap(a.strides[0], a.strides[1]);
  return a;
}

py::object backward(py::handle grad_object, py::handle x_object, py::handle weight_object,
                    bool has_bias, const py::object& activation_object,
                    py::handle preactivation_object, bool need_dx, bool need_dweight,
                    py::handle dx_out, py::handle dweight_out, py::handle dbias_out,
                    bool accumulate) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x"), weight(call, weight_object, "weight");
  const Input grad(call, grad_object, "grad");
  const auto shape = checked_shape(x, weight);
  grad.require_same_dtype(x).require_shape(shape);
  const auto activation = activation_of(activation_object);
  const auto preactivation = optional_input(call, preactivation_object, "preactivation");
  if (activation) {
    if (!preactivation) {
      bind::fail_value("preactivation",
                       "needed with an activation; the forward gives it with "
                       "return_preactivation=True");
    }
    preactivation->require_same_dtype(x).require_shape(shape);
  }
  Output dx, dweight, dbias;
  const auto require_apart = [&](const Output& gradient) {
    for (const Input* in : {&x, &weight, &grad}) require_no_overlap(gradient.view(), *in, false);
  };
  if (need_dx) {
    dx = Output(call, x, dx_out, x.shape(), x->dtype, "dx_out");
    require_apart(dx);
  }
  if (need_dweight) {
    dweight = gradient_buffer(call, weight, dweight_out, {weight.shape(0), weight.shape(1)},
                              "dweight_out", accumulate);
    require_apart(dweight);
  }
  if (has_bias) {
    dbias = gradient_buffer(call, weight, dbias_out, {weight.shape(0)}, "dbias_out", accumulate);
    require_apart(dbias);
  }

  Rows g = read_rows(call, grad.view());
  if (activation) g = through_activation(call, *activation, g, *preactivation);
  const Array gradient = as_matrix(g, x->dtype);
  const Array inputs = as_matrix(read_rows(call, x.view()), x->dtype);
  if (need_dx) {
    const RowsToWrite to(call, dx.view());
    multiply_stack(call, gradient, weight.view(), as_matrix(to.rows(), x->dtype), false);
    to.finish(call);
  }
  if (need_dweight) {
    multiply_stack(call, transposed(gradient), inputs, dweight.view(), accumulate);
  }
  if (has_bias) {
    Array sums = dbias.view();
    sums.ndim = 2;
    sums.shape = {1, g.n}, sums.strides = {g.n, dbias.view().strides[0]};
    multiply_stack(call, row_of_ones(call, g.rows, x->dtype), gradient, sums, accumulate);
  }
  call.finish();
  return py::make_tuple(dx.object(), dweight.object(), dbias.object());
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

}  // namespace pyllm::bind_cuda
