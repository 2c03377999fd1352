// Sums down the columns of partial rows, the last step of a weight's or a bias's gradient.
#pragma once

#include "bindings_cuda/embedded.h"

namespace pyllm::bind_cuda::embedded {

// out (n,) = the column sums of partial (rows, n). False where no kernel suits; then ask before
// anything is queued.
class ColumnSums {
 public:
  ColumnSums(const float* partial, void* out, int32_t dtype, int64_t rows, int64_t n)
      : arguments_(named(partial, out, dtype, rows, n)),
        launch_("column_sums_kernel", arguments_),
        n_(n) {}
  ColumnSums(const ColumnSums&) = delete;

  explicit operator bool() const { return static_cast<bool>(launch_); }
  void operator()(cudaStream_t stream) const {
    if (n_ > 0) launch_(blocks(n_, launch_.constant("N")), stream);
  }

 private:
  static Arguments named(const float* partial, void* out, int32_t dtype, int64_t rows, int64_t n) {
    Arguments a;
    a.pointer("partial", partial, "fp32").pointer("out", out, element(dtype));
    a.integer("rows", rows).integer("n", n);
    return a;
  }

  Arguments arguments_;
  Launch launch_;
  int64_t n_;
};

}  // namespace pyllm::bind_cuda::embedded
