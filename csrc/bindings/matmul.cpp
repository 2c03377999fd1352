#include "cpu/matmul.h"

#include <algorithm>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

void swap_last_axes(Array& a) {
  std::swap(a.shape[a.ndim - 1], a.shape[a.ndim - 2]);
  std::swap(a.strides[a.ndim - 1], a.strides[a.ndim - 2]);
}

// Puts an axis of length 1 in front, or at the end.
void add_axis(Array& a, bool front) {
  if (front) {
    std::copy_backward(a.shape.begin(), a.shape.begin() + a.ndim, a.shape.begin() + a.ndim + 1);
    std::copy_backward(a.strides.begin(), a.strides.begin() + a.ndim,
                       a.strides.begin() + a.ndim + 1);
  }
  a.shape[front ? 0 : a.ndim] = 1;
  a.strides[front ? 0 : a.ndim] = 0;
  ++a.ndim;
}

// Leading axes repeated (stride 0) to those of a stack of `batch`.
Array stacked(const Array& a, const std::vector<int64_t>& batch) {
  Array view = a;
  view.ndim = static_cast<int>(batch.size()) + 2;
  const int missing = view.ndim - a.ndim;
  for (int i = 0; i < view.ndim; ++i) {
    const bool leading = i < view.ndim - 2;
    const int64_t own = i < missing ? 1 : a.shape[i - missing];
    view.shape[i] = leading ? batch[i] : own;
    view.strides[i] = leading && own == 1 ? 0 : a.strides[i - missing];
  }
  return view;
}

py::object product_of(py::handle a_object, py::handle b_object, bool transpose_a, bool transpose_b,
                      py::handle out) {
  const Input a(a_object, "a"), b(b_object, "b");
  a.require_float();
  b.require_same_dtype(a);
  const std::string shapes =
      "shapes " + shape_string(a.shape()) + " and " + shape_string(b.shape());
  if (a->ndim == 0 || b->ndim == 0) {
    throw py::value_error("matmul: expected at least one axis each, got " + shapes);
  }
  if ((transpose_a && a->ndim == 1) || (transpose_b && b->ndim == 1)) {
    throw py::value_error(std::string(transpose_a && a->ndim == 1 ? "transpose_a" : "transpose_b") +
                          ": needs an argument of at least two axes, got " + shapes);
  }
  MatmulArgs args;
  args.a = a.view(), args.b = b.view();
  if (a->ndim == 1) add_axis(args.a, true);
  if (b->ndim == 1) add_axis(args.b, false);
  if (transpose_a) swap_last_axes(args.a);
  if (transpose_b) swap_last_axes(args.b);
  const int64_t inner = args.a.shape[args.a.ndim - 1];
  if (inner != args.b.shape[args.b.ndim - 2]) {
    throw py::value_error("matmul: the inner axes of a and b differ, " + std::to_string(inner) +
                          " and " + std::to_string(args.b.shape[args.b.ndim - 2]) + " (" + shapes +
                          (transpose_a ? ", a transposed" : "") +
                          (transpose_b ? ", b transposed" : "") + ")");
  }
  std::vector<int64_t> batch(std::max(args.a.ndim, args.b.ndim) - 2);
  for (size_t i = 0; i < batch.size(); ++i) {
    const auto length = [&](const Array& x) {
      const int axis = static_cast<int>(i) - int(batch.size()) + x.ndim - 2;
      return axis < 0 ? int64_t{1} : x.shape[axis];
    };
    const int64_t left = length(args.a), right = length(args.b);
    if (left != right && left != 1 && right != 1) {
      throw py::value_error("matmul: the leading axes of a and b do not broadcast (" + shapes +
                            ")");
    }
    batch[i] = left == 1 ? right : left;
  }
  std::vector<int64_t> shape = batch;
  if (a->ndim > 1) shape.push_back(args.a.shape[args.a.ndim - 2]);
  if (b->ndim > 1) shape.push_back(args.b.shape[args.b.ndim - 1]);
  args.a = stacked(args.a, batch);
  args.b = stacked(args.b, batch);
  const Output c = make_output(a, out, shape, a->dtype);
  require_no_overlap(c.view, a, false);
  require_no_overlap(c.view, b, false);
  args.c = c.view;
  if (a->ndim == 1) {  // the row axis that NumPy drops, put back in its place
    add_axis(args.c, true);
    if (b->ndim > 1) {
      for (int i = 0; i + 1 < args.c.ndim - 1; ++i) {
        std::swap(args.c.shape[i], args.c.shape[i + 1]);
        std::swap(args.c.strides[i], args.c.strides[i + 1]);
      }
    }
  }
  if (b->ndim == 1) add_axis(args.c, false);
  run(a->size() + b->size(), [&] { matmul(args); });
  return c.object;
}

}  // namespace

void bind_matmul(py::module_& m) {
  m.def("matmul", &product_of, py::arg("a"), py::arg("b"), py::arg("transpose_a") = false,
        py::arg("transpose_b") = false, py::arg("out") = py::none());
}

}  // namespace pyllm::bind
