#include "cpu/dropout.h"

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {

void bind_dropout(py::module_& m) {
  m.def(
      "dropout",
      [](py::handle x_object, double p, uint64_t seed, uint64_t stream, py::handle out) {
        const Input x(x_object, "x");
        x.require_float().require_contiguous();
        if (!(p >= 0 && p < 1)) {
          throw py::value_error("p: expected 0 <= p < 1, got " + std::to_string(p));
        }
        const Output y = output_like(x, out);
        if (!y.view.is_contiguous()) throw py::value_error("out: expected a contiguous array");
        require_no_overlap(y.view, x, true);
        const DropoutArgs args{x.view(), y.view, p, seed, stream};
        run(x->size(), [&] { dropout(args); });
        return y.object;
      },
      py::arg("x"), py::arg("p"), py::arg("seed"), py::arg("stream") = 0,
      py::arg("out") = py::none());
}

}  // namespace pyllm::bind
