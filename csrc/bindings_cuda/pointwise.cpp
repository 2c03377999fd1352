// Functions of elements, comparisons, casts, copies between layouts.
#include <pybind11/stl.h>

#include <algorithm>
#include <array>

#include "bindings/named.h"
#include "bindings/numpy_dtype.h"
#include "bindings_cuda/arrays.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"

namespace pyllm::bind_cuda {
namespace {

using bind::Named;

constexpr std::array kUnary = {
    Named<int32_t>{"negative", cuda::kNegative}, Named<int32_t>{"absolute", cuda::kAbsolute},
    Named<int32_t>{"sign", cuda::kSign},         Named<int32_t>{"sqrt", cuda::kSqrt},
    Named<int32_t>{"exp", cuda::kExp},           Named<int32_t>{"log", cuda::kLog},
    Named<int32_t>{"sin", cuda::kSin},           Named<int32_t>{"cos", cuda::kCos},
    Named<int32_t>{"tanh", cuda::kTanh},         Named<int32_t>{"sigmoid", cuda::kSigmoid}};
constexpr std::array kBinary = {Named<int32_t>{"add", cuda::kAdd},
                                Named<int32_t>{"subtract", cuda::kSubtract},
                                Named<int32_t>{"multiply", cuda::kMultiply},
                                Named<int32_t>{"divide", cuda::kDivide},
                                Named<int32_t>{"maximum", cuda::kMaximum},
                                Named<int32_t>{"minimum", cuda::kMinimum},
                                Named<int32_t>{"power", cuda::kPower},
                                Named<int32_t>{"equal", cuda::kEqual},
                                Named<int32_t>{"not_equal", cuda::kNotEqual},
                                Named<int32_t>{"less", cuda::kLess},
                                Named<int32_t>{"less_equal", cuda::kLessEqual},
                                Named<int32_t>{"greater", cuda::kGreater},
                                Named<int32_t>{"greater_equal", cuda::kGreaterEqual}};

template <size_t kCount>
void set(int64_t (&to)[kCount], const std::array<int64_t, kMaxDims>& from) {
  static_assert(kCount == kMaxDims);
  std::copy(from.begin(), from.end(), to);
}

py::object unary(std::string_view op, py::handle x_object, py::handle out) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x");
  require_kernel_float(x);
  const Output y = Output::like(call, x, out);
  bind::require_no_overlap(y.view(), x, true);
  Pointwise args{};
  args.a = x->data, args.y = y.view().data;
  set(args.shape, x->shape), set(args.a_strides, x->strides), set(args.y_strides, y.view().strides);
  args.ndim = x->ndim, args.op = find_op(kUnary, op), args.dtype = code_of(x->dtype);
  call.launch(&pyllm_cuda_pointwise, args);
  call.finish();
  return y.object();
}

int32_t storage_code(DType dtype, const char* name) {
  switch (dtype) {
    case DType::f32:
    case DType::f16:
    case DType::bf16:
      return code_of(dtype);
    case DType::i32:
      return cuda::kInt32;
    case DType::i64:
      return cuda::kInt64;
    case DType::boolean:
      return cuda::kBool;
    default:
      bind::fail_type(name, std::string(name_of(dtype)) +
                                " is computed with on the CPU only; on a device there are float32, "
                                "bfloat16, float16, int32, int64 and bool");
  }
}

py::object binary(std::string_view op, py::handle a_object, py::handle b_object, py::handle out) {
  Call call(a_object, "a");
  const Input a(call, a_object, "a"), b(call, b_object, "b");
  Pointwise args{};
  args.op = find_op(kBinary, op);
  const bool compares = args.op >= cuda::kEqual;
  if (!compares) require_kernel_float(a);
  args.dtype = storage_code(a->dtype, "a");
  b.require_same_dtype(a);
  const std::vector<int64_t> shape = bind::broadcast_shape(a, b);
  const Output y(call, a, out, shape, compares ? DType::boolean : a->dtype);
  bind::require_no_overlap(y.view(), a, a->size() == y.view().size());
  bind::require_no_overlap(y.view(), b, b->size() == y.view().size());
  const Array left = bind::broadcast(a, shape), right = bind::broadcast(b, shape);
  args.a = left.data, args.b = right.data, args.y = y.view().data;
  set(args.shape, y.view().shape), set(args.y_strides, y.view().strides);
  set(args.a_strides, left.strides), set(args.b_strides, right.strides);
  args.ndim = y.view().ndim;
  if (y.view().size() > 0) call.launch(&pyllm_cuda_pointwise, args);
  call.finish();
  return y.object();
}

// to = from, broadcast: converted, or where the mask holds.
void copy_to(py::handle to_object, py::handle from_object, py::handle where) {
  Call call(to_object, "to");
  const Input to(call, to_object, "to"), from(call, from_object, "from");
  to.require_writable();
  bind::require_no_overlap(to.view(), from, from->size() == to->size());
  const Array source = bind::broadcast(from, to.shape());
  if (const auto mask = optional_input(call, where, "where")) {
    from.require_same_dtype(to);
    mask->require_dtype({DType::boolean});
    call.copy_where(source, to.view(), bind::broadcast(*mask, to.shape()));
  } else if (from->dtype == to->dtype) {
    call.copy(source, to.view());
  } else {
    PointwiseCast args{};
    args.x = source.data, args.y = to->data, args.ndim = to->ndim;
    set(args.shape, to->shape), set(args.x_strides, source.strides);
    set(args.y_strides, to->strides);
    args.from = storage_code(from->dtype, "from"), args.to = storage_code(to->dtype, "to");
    if (to->size() > 0) call.launch(&pyllm_cuda_pointwise_cast, args);
  }
  call.finish();
}

// An array on the device, and in the order of work, of another; its content is undefined.
py::object empty_like(py::handle like_object, const std::vector<int64_t>& shape,
                      const py::object& dtype_object) {
  Call call(like_object, "like");
  const Input like(call, like_object, "like");
  DType dtype = like->dtype;
  if (!dtype_object.is_none()) {
    const auto given = py::dtype::from_args(dtype_object);
    if (!bind::dtype_of_number(given.num(), dtype)) {
      bind::fail_type("dtype", std::string(py::str(given)) + " is not supported");
    }
  }
  if (shape.size() > kMaxDims) bind::fail_value("shape", "at most 8 axes are supported");
  for (const int64_t n : shape) {
    if (n < 0) bind::fail_value("shape", "expected no negative size");
  }
  return Output(call, like, shape, dtype).object();
}

}  // namespace

void bind_pointwise(py::module_& m) {
  m.def("pointwise_unary", &unary, py::arg("op"), py::arg("x"), py::arg("out") = py::none());
  m.def("pointwise_binary", &binary, py::arg("op"), py::arg("a"), py::arg("b"),
        py::arg("out") = py::none());
  m.def("copy_to", &copy_to, py::arg("to"), py::arg("source"), py::arg("where") = py::none());
  m.def("empty_like", &empty_like, py::arg("like"), py::arg("shape"),
        py::arg("dtype") = py::none());
}

}  // namespace pyllm::bind_cuda
