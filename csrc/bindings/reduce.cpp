#include "cpu/reduce.h"

#include <array>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/named.h"

namespace pyllm::bind {
namespace {

constexpr std::array kReductions = {Named<ReduceOp>{"sum", ReduceOp::sum},
                                    Named<ReduceOp>{"max", ReduceOp::max},
                                    Named<ReduceOp>{"min", ReduceOp::min}};

// Over the first `axes` axes of a contiguous x, or over the last ones: the others' shape is left.
// Sums in float32 or float64, extrema in the dtype of x.
py::object reduce(std::string_view op, py::handle x_object, int64_t axes, bool leading) {
  const Input x(x_object, "x");
  x.require_float().require_contiguous();
  if (axes < 0 || axes > x->ndim) {
    throw py::value_error("axes: expected 0 to " + std::to_string(x->ndim) + ", got " +
                          std::to_string(axes));
  }
  ReduceArgs args{find_op(kReductions, op), x.view(), {}, leading};
  const auto split = x.shape().begin() + (leading ? axes : x->ndim - axes);
  const std::vector<int64_t> first(x.shape().begin(), split), last(split, x.shape().end());
  const auto product = [](const std::vector<int64_t>& sizes) {
    int64_t n = 1;
    for (const int64_t size : sizes) n *= size;
    return n;
  };
  args.x.ndim = 2;
  args.x.shape[0] = product(first), args.x.shape[1] = product(last);
  if (args.op != ReduceOp::sum && args.x.shape[leading ? 0 : 1] == 0) {
    throw py::value_error("x: no elements along the axes to reduce, its shape is " +
                          shape_string(x.shape()));
  }
  const bool wide = args.op == ReduceOp::sum && x->dtype != DType::f64;
  const Output y = make_output(x, leading ? last : first, wide ? DType::f32 : x->dtype);
  args.y = y.view;
  if (y.view.size() > 0) run(x->size(), [&] { reduce_matrix(args); });
  return y.object;
}

}  // namespace

void bind_reduce(py::module_& m) {
  m.def("reduce", &reduce, py::arg("op"), py::arg("x"), py::arg("axes"), py::arg("leading"));
}

}  // namespace pyllm::bind
