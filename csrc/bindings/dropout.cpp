#include "cpu/dropout.h"

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

py::object apply(const char* name, py::handle x_object, double p, uint64_t seed, uint64_t stream,
                 py::handle residual_object, py::handle out) {
  const Input x(x_object, name);
  x.require_float();
  if (!(p >= 0 && p < 1)) {
    throw py::value_error("p: expected 0 <= p < 1, got " + std::to_string(p));
  }
  const auto residual = optional_input(residual_object, "residual");
  const Output y = output_like(x, out);
  require_no_overlap(y.view, x, true);
  DropoutArgs args{x.view(), y.view, nullptr, p, seed, stream};
  if (residual) {
    residual->require_same_dtype(x).require_same_shape(x);
    require_no_overlap(y.view, *residual, true);
    args.residual = &residual->view();
  }
  run(x->size(), [&] { dropout(args); });
  return y.object;
}

}  // namespace

void bind_dropout(py::module_& m) {
  m.def("dropout", [](py::handle x, double p, uint64_t seed, uint64_t stream, py::handle residual,
                      py::handle out) { return apply("x", x, p, seed, stream, residual, out); });
  m.def("dropout_backward",
        [](py::handle grad, double p, uint64_t seed, uint64_t stream, py::handle out) {
          return apply("grad", grad, p, seed, stream, py::none(), out);
        });
}

}  // namespace pyllm::bind
