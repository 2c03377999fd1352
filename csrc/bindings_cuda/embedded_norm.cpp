// layer_norm and rms_norm, and their gradients, by the embedded Triton kernels.
#include <algorithm>
#include <optional>

#include "bindings_cuda/embedded_columns.h"

namespace pyllm::bind_cuda::embedded {
namespace {

constexpr int64_t kNarrow = 1024, kTile = 4096;  // widths that a program takes at once
constexpr int64_t kColumns = 128, kColumnShares = 32;

Arguments rows_of(const NormBackward& args) {
  Arguments a;
  const char *storage = element(args.dtype), *parameters = element(args.parameter_dtype);
  a.pointer("dy", args.dy, storage).pointer("x", args.x, storage);
  a.pointer("weight", args.weight, parameters).pointer("more", args.grad_sum, storage);
  a.pointer("mean_in", args.mean, "fp32").pointer("rstd_in", args.rstd, "fp32");
  a.pointer("dx", args.dx, storage).integer("M", args.rows).integer("n", args.n);
  a.integer("LAYER", args.mean != nullptr).integer("WEIGHT", args.weight != nullptr);
  a.integer("MORE", args.grad_sum != nullptr);
  return a;
}

// Sums over shares of the rows: those of dweight, then those of dbias.
void set_partial(Arguments& a, const NormBackward& args, int64_t shares) {
  a.pointer("dweight", args.partial, "fp32");
  a.pointer("dbias", args.dbias ? args.partial + shares * args.n : nullptr, "fp32");
  a.integer("each", blocks(args.rows, shares));
}

// Rows that fit in registers: dx and the partial sums in one pass.
bool queue_whole(const NormBackward& args, int64_t shares, cudaStream_t stream) {
  Arguments a = rows_of(args);
  set_partial(a, args, shares);
  a.integer("N", args.n <= kNarrow ? kNarrow : kTile);
  const Launch launch("norm_backward_kernel", a);
  if (!launch) return false;
  launch(shares, stream);
  return true;
}

// Longer rows: the partial sums first, since dx may lie where x or dy does.
bool queue_long(const NormBackward& args, int64_t shares, cudaStream_t stream) {
  Arguments a = rows_of(args);
  a.integer("N", kTile);
  const Launch rows("norm_backward_long_kernel", a);
  Arguments down = rows_of(args);
  set_partial(down, args, shares);
  down.integer("N", kColumns);
  const Launch columns("norm_backward_columns_kernel", down);
  if (!rows || !columns) return false;
  columns(blocks(args.n, kColumns), stream, shares);
  if (args.rows > 0) rows(args.rows, stream);
  return true;
}

}  // namespace

bool norm_forward(const NormForward& args, cudaStream_t stream) {
  const bool contiguous = args.x_row_stride == args.n && args.y_row_stride == args.n &&
                          (args.residual == nullptr ||
                           (args.residual_row_stride == args.n && args.sum_row_stride == args.n));
  if (!contiguous) return false;
  Arguments a;
  const char *storage = element(args.dtype), *parameters = element(args.parameter_dtype);
  a.pointer("x", args.x, storage).pointer("residual", args.residual, storage);
  a.pointer("weight", args.weight, parameters).pointer("bias", args.bias, parameters);
  a.pointer("total", args.sum, storage).pointer("y", args.y, storage);
  a.pointer("mean_out", args.mean, "fp32").pointer("rstd_out", args.rstd, "fp32");
  a.integer("n", args.n).number("eps", args.eps);
  a.integer("LAYER", args.rms == 0).integer("RESIDUAL", args.residual != nullptr);
  a.integer("WEIGHT", args.weight != nullptr).integer("BIAS", args.bias != nullptr);
  a.integer("STATS", args.rstd != nullptr).integer("WHOLE", args.n <= kTile);
  a.integer("N", args.n <= kNarrow ? kNarrow : kTile);
  const Launch launch("norm_forward_kernel", a);
  if (!launch) return false;
  if (args.rows > 0) launch(args.rows, stream);
  return true;
}

bool norm_backward(const NormBackward& args, cudaStream_t stream) {
  const bool contiguous = args.dy_row_stride == args.n && args.x_row_stride == args.n &&
                          args.dx_row_stride == args.n &&
                          (args.grad_sum == nullptr || args.grad_sum_row_stride == args.n);
  if (!contiguous || args.dweight == nullptr || args.n == 0) return false;
  const bool whole = args.n <= kTile;
  const int64_t shares = whole ? args.partial_rows : std::min(args.partial_rows, kColumnShares);
  const ColumnSums dweight(args.partial, args.dweight, args.parameter_dtype, shares, args.n);
  std::optional<ColumnSums> dbias;
  if (args.dbias != nullptr) {
    dbias.emplace(args.partial + shares * args.n, args.dbias, args.parameter_dtype, shares, args.n);
  }
  if (!dweight || (dbias && !*dbias)) return false;
  if (!(whole ? queue_whole : queue_long)(args, shares, stream)) return false;
  dweight(stream);
  if (dbias) (*dbias)(stream);
  return true;
}

}  // namespace pyllm::bind_cuda::embedded
