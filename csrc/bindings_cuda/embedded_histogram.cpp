// Gradient histograms by the embedded Triton kernels; kernels/triton/histogram.py describes them.
#include "bindings_cuda/embedded.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda::embedded {
namespace {

py::object histogram(py::handle bins_object, py::handle gradients_object, int64_t max_bin,
                     py::handle rows_object) {
  Call call(bins_object, "bins");
  const Input bins(call, bins_object, "bins"), gradients(call, gradients_object, "gradients");
  bins.require_dtype({DType::u8, DType::i16}).require_ndim(2);
  const int64_t features = bins.shape(0), samples = bins.shape(1);
  gradients.require_dtype({DType::i32}).require_shape({samples, 2});
  if (max_bin < 1) {
    bind::fail_value("max_bin", "expected at least 1, got " + std::to_string(max_bin));
  }
  const auto rows = optional_input(call, rows_object, "rows");
  if (rows) rows->require_dtype({DType::i32, DType::i64}).require_ndim(1);
  const int64_t count = rows ? rows->shape(0) : samples;
  const Output sums(call, bins, std::vector<int64_t>{features, max_bin, 2}, DType::i64);
  call.fill(sums.view(), 0);
  Arguments a;
  a.pointer("bins", read_contiguous(call, bins.view()).data,
            bins->dtype == DType::u8 ? "u8" : "i16");
  a.pointer("gradients", read_contiguous(call, gradients.view()).data, "i32");
  a.pointer("sums", sums.view().data, "i64").integer("ROWS", rows != nullptr);
  if (rows) {
    const bool wide = (*rows)->dtype == DType::i64;
    a.pointer("rows", read_contiguous(call, rows->view()).data, wide ? "i64" : "i32");
  }
  a.integer("count", count).integer("samples", samples).integer("max_bin", max_bin);
  if (count > 0 && features > 0) {
    const py::gil_scoped_release release;
    const Launch launch("histogram_kernel", a);
    if (!launch) {
      throw std::runtime_error(
          "histogram: the embedded kernels take arrays on 16 bytes, of fewer than 2^31 rows and "
          "bins");
    }
    launch(features * blocks(count, launch.constant("ELEMENTS")), call.stream().handle());
  }
  call.finish();
  return sums.object();
}

}  // namespace

void bind_histogram(py::module_& m) {
  m.def("histogram", &histogram, py::arg("bins"), py::arg("gradients"), py::arg("max_bin"),
        py::arg("rows") = py::none());
}

}  // namespace pyllm::bind_cuda::embedded
