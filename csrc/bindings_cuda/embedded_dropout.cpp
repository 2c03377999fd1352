// Dropout by the embedded Triton kernels.
#include "bindings_cuda/embedded.h"

namespace pyllm::bind_cuda::embedded {

bool dropout(const Dropout& args, cudaStream_t stream) {
  Arguments a;
  const char* storage = element(args.dtype);
  a.pointer("x", args.x, storage).pointer("residual", args.residual, storage);
  a.pointer("y", args.y, storage).integer("n", args.n).number("scale", args.scale);
  a.integer("seed", static_cast<int64_t>(args.seed));
  a.integer("stream", static_cast<int64_t>(args.stream)).integer("threshold", args.threshold);
  a.integer("RESIDUAL", args.residual != nullptr);
  const Launch launch("dropout_kernel", a);
  if (!launch) return false;
  if (args.n > 0) launch(blocks(args.n, launch.constant("ELEMENTS")), stream);
  return true;
}

}  // namespace pyllm::bind_cuda::embedded
