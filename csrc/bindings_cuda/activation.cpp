#include "bindings_cuda/activation_arguments.h"
#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"

namespace pyllm::bind_cuda {
namespace {

using bind::require_no_overlap;

py::object forward(int32_t kind, py::handle x_object, py::handle bias_object, py::handle out) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x");
  require_kernel_float(x);
  const Bias bias(call, bias_object, "bias", x);
  const Output y = Output::like(call, x, out);
  require_no_overlap(y.view(), x, true);
  bias.require_apart(y);
  const Rows from = read_rows(call, x.view());
  const RowsToWrite to(call, y.view());
  ActivationForward args{};
  args.x = from.data, args.x_row_stride = from.stride;
  args.y = to.rows().data, args.y_row_stride = to.rows().stride;
  args.bias = bias.data();
  args.rows = from.rows, args.n = from.n;
  args.kind = kind, args.dtype = code_of(x->dtype);
  embedded::launch(call, &embedded::activation_forward, &pyllm_cuda_activation_forward, args);
  to.finish(call);
  call.finish();
  return y.object();
}

py::object backward(int32_t kind, py::handle dy_object, py::handle x_object, py::handle bias_object,
                    py::handle out) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x"), dy(call, dy_object, "grad");
  require_kernel_float(x);
  dy.require_same_dtype(x).require_same_shape(x);
  const Bias bias(call, bias_object, "bias", x);
  const Output dx = Output::like(call, x, out);
  require_no_overlap(dx.view(), x, true);
  require_no_overlap(dx.view(), dy, true);
  bias.require_apart(dx);
  const Rows from = read_rows(call, x.view()), gradient = read_rows(call, dy.view());
  const RowsToWrite to(call, dx.view());
  const Output dbias = bias.gradient(call);
  ActivationBackward args{};
  args.x = from.data, args.x_row_stride = from.stride;
  args.dy = gradient.data, args.dy_row_stride = gradient.stride;
  args.dx = to.rows().data, args.dx_row_stride = to.rows().stride;
  args.bias = bias.data(), args.dbias = dbias.view().data;
  args.rows = from.rows, args.n = from.n;
  args.kind = kind, args.dtype = code_of(x->dtype);
  if (bias) {
    args.partial_rows = partial_rows(call, from.rows);
    args.partial = call.workspace_of<float>(args.partial_rows * from.n);
  }
  embedded::launch(call, &embedded::activation_backward, &pyllm_cuda_activation_backward, args);
  to.finish(call);
  call.finish();
  if (!bias) return dx.object();
  return py::make_tuple(dx.object(), dbias.object());
}

}  // namespace

void bind_activation(py::module_& m) {
  m.def("gelu", [](py::handle x, py::handle bias, const std::string& approximate, py::handle out) {
    return forward(gelu_kind(approximate), x, bias, out);
  });
  m.def("gelu_backward",
        [](py::handle dy, py::handle x, py::handle bias, const std::string& approximate,
           py::handle out) { return backward(gelu_kind(approximate), dy, x, bias, out); });
  const auto define = [&](const char* name, const char* backward_name, int32_t kind) {
    m.def(name, [kind](py::handle x, py::handle bias, py::handle out) {
      return forward(kind, x, bias, out);
    });
    m.def(backward_name, [kind](py::handle dy, py::handle x, py::handle bias, py::handle out) {
      return backward(kind, dy, x, bias, out);
    });
  };
  define("silu", "silu_backward", cuda::kSilu);
  define("relu", "relu_backward", cuda::kRelu);
}

}  // namespace pyllm::bind_cuda
