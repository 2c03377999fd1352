// Sums and extrema over the first or the last axes, under the signature of pyllm._cpu.reduce.
#include <array>
#include <vector>

#include "bindings/named.h"
#include "bindings_cuda/arrays.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"

namespace pyllm::bind_cuda {
namespace {

constexpr std::array kReductions = {bind::Named<int32_t>{"sum", cuda::kReduceSum},
                                    bind::Named<int32_t>{"max", cuda::kReduceMax},
                                    bind::Named<int32_t>{"min", cuda::kReduceMin}};

int64_t product(const std::vector<int64_t>& sizes) {
  int64_t n = 1;
  for (const int64_t size : sizes) n *= size;
  return n;
}

py::object reduce(std::string_view op, py::handle x_object, int64_t axes, bool leading) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x");
  require_kernel_float(x);
  x.require_contiguous();
  if (axes < 0 || axes > x->ndim) {
    bind::fail_value("axes",
                     "expected 0 to " + std::to_string(x->ndim) + ", got " + std::to_string(axes));
  }
  const auto split = x.shape().begin() + (leading ? axes : x->ndim - axes);
  const std::vector<int64_t> first(x.shape().begin(), split), last(split, x.shape().end());
  Reduction args{};
  args.op = find_op(kReductions, op), args.dtype = code_of(x->dtype);
  args.rows = product(first), args.columns = product(last), args.down = leading;
  const int64_t lines = leading ? args.columns : args.rows;
  const int64_t n = leading ? args.rows : args.columns;
  if (args.op != cuda::kReduceSum && n == 0) {
    bind::fail_value(
        "x", "no elements along the axes to reduce, its shape is " + bind::shape_string(x.shape()));
  }
  args.chunks = cuda::reduction_chunks(lines, n);
  if (args.chunks > 1) args.partial = call.workspace_of<float>(lines * args.chunks);
  const Output y(call, x, leading ? last : first,
                 args.op == cuda::kReduceSum ? DType::f32 : x->dtype);
  args.x = x->data, args.y = y.view().data;
  call.launch(&pyllm_cuda_reduction, args);
  call.finish();
  return y.object();
}

// Along the last axis: where the first "max" or "min" is, or the first NaN.
py::object places(std::string_view op, py::handle x_object) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x");
  require_kernel_float(x);
  x.require_contiguous();
  if (x->ndim == 0 || x.shape(x->ndim - 1) == 0) {
    bind::fail_value(
        "x", "no elements along its last axis, its shape is " + bind::shape_string(x.shape()));
  }
  ExtremumPlaces args{};
  args.smallest = find_op(kReductions, op) == cuda::kReduceMin, args.dtype = code_of(x->dtype);
  args.columns = x.shape(x->ndim - 1), args.rows = x->size() / args.columns;
  args.chunks = cuda::reduction_chunks(args.rows, args.columns);
  if (args.chunks > 1) {
    args.values = call.workspace_of<float>(args.rows * args.chunks);
    args.places = call.workspace_of<int64_t>(args.rows * args.chunks);
  }
  const Output y(call, x, x.shape().first(static_cast<size_t>(x->ndim) - 1), DType::i64);
  args.x = x->data, args.y = y.view().as<int64_t>();
  call.launch(&pyllm_cuda_extremum_places, args);
  call.finish();
  return y.object();
}

}  // namespace

void bind_reduction(py::module_& m) {
  m.def("reduce", &reduce, py::arg("op"), py::arg("x"), py::arg("axes"), py::arg("leading"));
  m.def("reduce_places", &places, py::arg("op"), py::arg("x"));
}

}  // namespace pyllm::bind_cuda
