#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {
namespace {

// (seq, heads, dim) as (1, seq, heads, dim), with a contiguous last axis: a copy where it has not.
Array as_heads(Call& call, const Array& given) {
  const int last = given.ndim - 1;
  const bool contiguous = given.strides[last] == 1 || given.shape[last] <= 1;
  const Array a = contiguous ? given : read_contiguous(call, given);
  if (a.ndim == 4) return a;
  return {a.data,
          a.dtype,
          4,
          {1, a.shape[0], a.shape[1], a.shape[2]},
          {0, a.strides[0], a.strides[1], a.strides[2]}};
}

// Positions stay on the device, where one that is out of range makes NaN of the pairs it turns.
py::object rotate(const char* name, py::handle x_object, py::handle cos_object,
                  py::handle sin_object, py::handle positions_object, bool interleaved,
                  py::handle out, bool inverse) {
  Call call(x_object, name);
  const Input x(call, x_object, name), cos(call, cos_object, "cos"), sin(call, sin_object, "sin");
  require_kernel_float(x);
  if (x->ndim != 3 && x->ndim != 4) {
    bind::fail_value(name, "expected (batch, seq, heads, dim) or (seq, heads, dim), got shape " +
                               bind::shape_string(x.shape()));
  }
  cos.require_ndim(2).require_dtype({x->dtype, DType::f32});
  sin.require_same_shape(cos).require_same_dtype(cos);
  const int64_t dim = x->shape[x->ndim - 1];
  if (2 * cos.shape(1) > dim) {
    bind::fail_value("cos", "has " + std::to_string(cos.shape(1)) + " pairs, " + name + " only " +
                                std::to_string(dim) + " features");
  }
  const Output y = Output::like(call, x, out);
  bind::require_no_overlap(y.view(), x, true);
  bind::require_no_overlap(y.view(), cos, false);
  bind::require_no_overlap(y.view(), sin, false);
  Rotary args{};
  const Array from = as_heads(call, x.view());
  const bool direct = y.view().strides[x->ndim - 1] == 1 || dim <= 1;
  const Array whole = direct ? y.view() : workspace_like(call, y.view());
  const Array to = as_heads(call, whole);
  args.x = from.data, args.y = to.data;
  args.batch = from.shape[0], args.seq = from.shape[1], args.heads = from.shape[2];
  args.dim = dim, args.half = cos.shape(1), args.length = cos.shape(0);
  args.x_batch_stride = from.strides[0], args.x_seq_stride = from.strides[1];
  args.x_head_stride = from.strides[2];
  args.y_batch_stride = to.strides[0], args.y_seq_stride = to.strides[1];
  args.y_head_stride = to.strides[2];
  const Array cosines = read_contiguous(call, cos.view()),
              sines = read_contiguous(call, sin.view());
  args.cos = cosines.data, args.sin = sines.data, args.table_row_stride = args.half;
  const auto positions = optional_input(call, positions_object, "positions");
  if (positions) {
    positions->require_dtype({DType::i32, DType::i64});
    if ((*positions)->ndim == 2) {
      positions->require_shape({args.batch, args.seq});
    } else {
      positions->require_shape({args.seq});
    }
    const Array view = bind::broadcast(*positions, {args.batch, args.seq});
    args.positions = view.data;
    args.position_batch_stride = view.strides[0], args.position_seq_stride = view.strides[1];
    args.position_dtype = view.dtype == DType::i32 ? cuda::kInt32 : cuda::kInt64;
  } else if (args.seq > args.length) {
    bind::fail_value("cos", "has " + std::to_string(args.length) + " positions, x needs " +
                                std::to_string(args.seq));
  }
  args.interleaved = interleaved, args.inverse = inverse;
  args.dtype = code_of(x->dtype), args.table_dtype = code_of(cos->dtype);
  embedded::launch(call, &embedded::rotary, &pyllm_cuda_rotary, args);
  if (!direct) call.copy(whole, y.view());
  call.finish();
  return y.object();
}

}  // namespace

void bind_rotary(py::module_& m) {
  m.def("rotary", [](py::handle x, py::handle cos, py::handle sin, py::handle positions,
                     bool interleaved, py::handle out) {
    return rotate("x", x, cos, sin, positions, interleaved, out, false);
  });
  m.def("rotary_backward", [](py::handle grad, py::handle cos, py::handle sin, py::handle positions,
                              bool interleaved, py::handle out) {
    return rotate("grad", grad, cos, sin, positions, interleaved, out, true);
  });
}

}  // namespace pyllm::bind_cuda
