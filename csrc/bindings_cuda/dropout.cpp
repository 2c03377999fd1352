#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/rows.h"
#include "core/philox.h"

namespace pyllm::bind_cuda {
namespace {

using bind::require_no_overlap;

py::object apply(const char* name, py::handle x_object, double p, uint64_t seed, uint64_t stream,
                 py::handle residual_object, py::handle out) {
  Call call(x_object, name);
  const Input x(call, x_object, name);
  require_kernel_float(x);
  if (!(p >= 0 && p < 1)) {
    bind::fail_value("p", "expected 0 <= p < 1, got " + std::to_string(p));
  }
  const auto residual = optional_input(call, residual_object, "residual");
  const Output y = Output::like(call, x, out);
  require_no_overlap(y.view(), x, true);
  Dropout args{};
  if (residual) {
    residual->require_same_dtype(x).require_same_shape(x);
    require_no_overlap(y.view(), *residual, true);
    args.residual = read_contiguous(call, residual->view()).data;
  }
  const bool in_place = y.view().is_contiguous();
  const Array to = in_place ? y.view() : workspace_like(call, y.view());
  args.x = read_contiguous(call, x.view()).data, args.y = to.data, args.n = x->size();
  args.seed = seed, args.stream = stream;
  args.threshold = drop_threshold(p);
  args.scale = static_cast<float>(1.0 / (1.0 - p));
  args.dtype = code_of(x->dtype);
  embedded::launch(call, &embedded::dropout, &pyllm_cuda_dropout, args);
  if (!in_place) call.copy(to, y.view());
  call.finish();
  return y.object();
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

}  // namespace pyllm::bind_cuda
