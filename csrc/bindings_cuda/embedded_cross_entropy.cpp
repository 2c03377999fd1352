// cross_entropy, its gradient, and the losses of linear_cross_entropy's chunks by the embedded
// Triton kernels: a program a row.
#include "bindings_cuda/embedded.h"

namespace pyllm::bind_cuda::embedded {
namespace {

// What the arguments of all losses have.
template <class Args>
Arguments rows_of(const Args& args, const float* lse, int64_t first_row = 0) {
  Arguments a;
  const bool wide = args.target_dtype == cuda::kInt64;
  const auto* targets = static_cast<const char*>(args.targets) + first_row * (wide ? 8 : 4);
  a.pointer("targets", targets, wide ? "i64" : "i32");
  a.pointer("weight", args.class_weight, element(args.dtype));
  a.pointer("totals", args.totals, "fp32");
  a.pointer("lse_in", lse, "fp32").pointer("lse_out", lse, "fp32");
  a.integer("n", args.n).integer("ignore_index", args.ignore_index);
  a.number("smoothing", args.label_smoothing).number("z_loss", args.z_loss);
  a.integer("WEIGHT", args.class_weight != nullptr).integer("SMOOTH", args.label_smoothing > 0);
  return a;
}

}  // namespace

bool cross_entropy_forward(const CrossEntropyForward& args, cudaStream_t stream) {
  Arguments a = rows_of(args, args.lse);
  a.pointer("logits", args.logits, element(args.dtype)).integer("pitch", args.logits_row_stride);
  a.pointer("loss_out", args.losses, "fp32");
  const Launch launch("cross_entropy_forward_kernel", a);
  if (!launch || args.n == 0) return false;
  if (args.rows > 0) launch(args.rows, stream);
  return true;
}

bool cross_entropy_backward(const CrossEntropyBackward& args, cudaStream_t stream) {
  Arguments a = rows_of(args, args.lse);
  const char* storage = element(args.dtype);
  a.pointer("logits", args.logits, storage).integer("pitch", args.logits_row_stride);
  a.pointer("dlogits", args.dlogits, storage).integer("dpitch", args.dlogits_row_stride);
  a.pointer("grad", args.grad, "fp32");
  if (args.grad != nullptr) a.integer("grad_step", args.grad_per_row);
  a.integer("mean", args.mean).number("scale", args.grad_scale);
  const Launch launch("cross_entropy_backward_kernel", a);
  if (!launch) return false;
  if (args.rows > 0 && args.n > 0) launch(args.rows, stream);
  return true;
}

bool linear_cross_entropy_chunk(const LinearCrossEntropy& args, int64_t begin, int64_t rows,
                                float* lse, cudaStream_t stream) {
  if (args.bias != nullptr || args.n == 0) return false;
  Arguments a = rows_of(args, lse, begin);
  a.pointer("logits", args.logits, "fp32").integer("pitch", args.logits_row_stride);
  a.pointer("loss_out", args.losses + begin, "fp32");
  const int64_t halves = args.dtype == cuda::kFloat32 ? 1 : 2;  // in the first half of each row
  a.pointer("dlogits", args.logits, element(args.dtype));
  a.integer("dpitch", args.logits_row_stride * halves);
  a.pointer("grad", nullptr, "fp32").integer("mean", 0).number("scale", 1);
  const Launch losses("cross_entropy_forward_kernel", a);
  const Launch gradient("cross_entropy_backward_kernel", a);
  if (!losses || !gradient) return false;
  losses(rows, stream);
  if (args.dhidden != nullptr) gradient(rows, stream);
  return true;
}

}  // namespace pyllm::bind_cuda::embedded
