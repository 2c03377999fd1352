#include <cmath>

#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {
namespace {

using bind::require_no_overlap;

float checked_temperature(double temperature) {
  if (!(temperature > 0) || std::isinf(temperature)) {
    bind::fail_value("temperature",
                     "expected a positive finite number, got " + std::to_string(temperature));
  }
  return static_cast<float>(temperature);
}

uint64_t bits_of_minus_infinity(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return 0xFC00;
    case DType::bf16:
      return 0xFF80;
    default:
      return 0xFF800000;
  }
}

// x with -inf where the mask is false.
Array masked(Call& call, const Input& x, py::handle mask_object) {
  if (mask_object.is_none()) return x.view();
  const Input mask(call, mask_object, "mask");
  mask.require_dtype({DType::boolean});
  const Array repeated = bind::broadcast(mask, x.shape());
  const Array copy = workspace_like(call, x.view());
  call.copy(x.view(), copy, &repeated, bits_of_minus_infinity(x->dtype));
  return copy;
}

py::object forward(py::handle x_object, int64_t axis_given, double temperature, py::handle mask,
                   py::handle out, bool log) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x");
  require_kernel_float(x);
  const int axis = bind::normalize_axis(axis_given, x->ndim);
  SoftmaxForward args{};
  args.temperature = checked_temperature(temperature);
  const Output y = Output::like(call, x, out);
  require_no_overlap(y.view(), x, true);
  const Rows from = read_rows(call, masked(call, x, mask), axis);
  const RowsToWrite to(call, y.view(), axis);
  args.x = from.data, args.x_row_stride = from.stride;
  args.y = to.rows().data, args.y_row_stride = to.rows().stride;
  args.rows = from.rows, args.n = from.n;
  args.dtype = code_of(x->dtype), args.log = log;
  embedded::launch(call, &embedded::softmax_forward, &pyllm_cuda_softmax_forward, args);
  to.finish(call);
  call.finish();
  return y.object();
}

py::object backward(py::handle dy_object, py::handle y_object, int64_t axis_given,
                    double temperature, py::handle out, bool log) {
  Call call(y_object, "y");
  const Input y(call, y_object, "y"), dy(call, dy_object, "grad");
  require_kernel_float(y);
  dy.require_same_shape(y).require_same_dtype(y);
  const int axis = bind::normalize_axis(axis_given, y->ndim);
  SoftmaxBackward args{};
  args.temperature = checked_temperature(temperature);
  const Output dx = Output::like(call, y, out);
  require_no_overlap(dx.view(), y, true);
  require_no_overlap(dx.view(), dy, true);
  const Rows from = read_rows(call, dy.view(), axis), result = read_rows(call, y.view(), axis);
  const RowsToWrite to(call, dx.view(), axis);
  args.dy = from.data, args.dy_row_stride = from.stride;
  args.y = result.data, args.y_row_stride = result.stride;
  args.dx = to.rows().data, args.dx_row_stride = to.rows().stride;
  args.rows = result.rows, args.n = result.n;
  args.dtype = code_of(y->dtype), args.log = log;
  embedded::launch(call, &embedded::softmax_backward, &pyllm_cuda_softmax_backward, args);
  to.finish(call);
  call.finish();
  return dx.object();
}

}  // namespace

void bind_softmax(py::module_& m) {
  const auto none = py::none();
  for (const bool log : {false, true}) {
    const std::string name = log ? "log_softmax" : "softmax";
    m.def(
        name.c_str(),
        [log](py::handle x, int64_t axis, double temperature, py::handle mask, py::handle out) {
          return forward(x, axis, temperature, mask, out, log);
        },
        py::arg("x"), py::arg("axis") = -1, py::arg("temperature") = 1.0, py::arg("mask") = none,
        py::arg("out") = none);
    m.def((name + "_backward").c_str(),
          [log](py::handle dy, py::handle y, int64_t axis, double temperature, py::handle out) {
            return backward(dy, y, axis, temperature, out, log);
          },
          py::arg("grad"), py::arg("y"), py::arg("axis") = -1, py::arg("temperature") = 1.0,
          py::arg("out") = none);
  }
}

}  // namespace pyllm::bind_cuda
