// Rotary position embedding by the embedded Triton kernels: head sizes up to 128.
#include "bindings_cuda/embedded.h"

namespace pyllm::bind_cuda::embedded {

bool rotary(const Rotary& args, cudaStream_t stream) {
  if (args.table_row_stride != args.half || args.half == 0) return false;
  Arguments a;
  const char *storage = element(args.dtype), *table = element(args.table_dtype);
  a.pointer("x", args.x, storage).pointer("y", args.y, storage);
  a.pointer("cos", args.cos, table).pointer("sin", args.sin, table);
  a.pointer("positions", args.positions, args.position_dtype == cuda::kInt64 ? "i64" : "i32");
  a.integer("seq", args.seq).integer("heads", args.heads).integer("dim", args.dim);
  a.integer("half", args.half).integer("length", args.length);
  a.number("direction", args.inverse ? -1 : 1);
  a.integer("x_batch", args.x_batch_stride).integer("x_seq", args.x_seq_stride);
  a.integer("x_head", args.x_head_stride).integer("y_batch", args.y_batch_stride);
  a.integer("y_seq", args.y_seq_stride).integer("y_head", args.y_head_stride);
  a.integer("positions_batch", args.position_batch_stride);
  a.integer("positions_seq", args.position_seq_stride);
  a.integer("POSITIONS", args.positions != nullptr).integer("INTERLEAVED", args.interleaved != 0);
  a.integer("HALF", args.half <= 32 ? 32 : args.half <= 64 ? 64 : args.half);
  const Launch launch("rotary_kernel", a);
  if (!launch) return false;
  if (const int64_t tokens = args.batch * args.seq; tokens > 0) launch(tokens, stream);
  return true;
}

}  // namespace pyllm::bind_cuda::embedded
