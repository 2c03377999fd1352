// layer_norm and rms_norm by the embedded Triton kernels.
#include "bindings_cuda/embedded.h"

namespace pyllm::bind_cuda::embedded {

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
  a.integer("STATS", args.rstd != nullptr).integer("WHOLE", args.n <= 4096);
  a.integer("N", args.n <= 1024 ? 1024 : 4096);
  const Launch launch("norm_forward_kernel", a);
  if (!launch) return false;
  if (args.rows > 0) launch(args.rows, stream);
  return true;
}

}  // namespace pyllm::bind_cuda::embedded
