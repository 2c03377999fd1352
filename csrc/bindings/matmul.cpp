#include "cpu/matmul.h"

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/matmul_views.h"

namespace pyllm::bind {
namespace {

py::object product_of(py::handle a_object, py::handle b_object, bool transpose_a, bool transpose_b,
                      py::handle out) {
  const Input a(a_object, "a"), b(b_object, "b");
  a.require_float();
  b.require_same_dtype(a);
  const MatmulViews views(a, b, transpose_a, transpose_b);
  const Output c = make_output(a, out, views.shape(), a->dtype);
  require_no_overlap(c.view, a, false);
  require_no_overlap(c.view, b, false);
  const MatmulArgs args{views.a(), views.b(), views.result(c.view)};
  run(a->size() + b->size(), [&] { matmul(args); });
  return c.object;
}

}  // namespace

void bind_matmul(py::module_& m) {
  m.def("matmul", &product_of, py::arg("a"), py::arg("b"), py::arg("transpose_a") = false,
        py::arg("transpose_b") = false, py::arg("out") = py::none());
}

}  // namespace pyllm::bind
