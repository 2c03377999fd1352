#include "bindings/matmul_views.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/matrices.h"

namespace pyllm::bind_cuda {
namespace {

py::object product_of(py::handle a_object, py::handle b_object, bool transpose_a, bool transpose_b,
                      py::handle out) {
  Call call(a_object, "a");
  const Input a(call, a_object, "a"), b(call, b_object, "b");
  require_kernel_float(a);
  b.require_same_dtype(a);
  const bind::MatmulViews views(a, b, transpose_a, transpose_b);
  const Output c(call, a, out, views.shape(), a->dtype);
  bind::require_no_overlap(c.view(), a, false);
  bind::require_no_overlap(c.view(), b, false);
  multiply_stack(call, views.a(), views.b(), views.result(c.view()), false);
  call.finish();
  return c.object();
}

}  // namespace

void bind_matmul(py::module_& m) {
  m.def("matmul", &product_of, py::arg("a"), py::arg("b"), py::arg("transpose_a") = false,
        py::arg("transpose_b") = false, py::arg("out") = py::none());
}

}  // namespace pyllm::bind_cuda
