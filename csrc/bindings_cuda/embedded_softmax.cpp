// softmax and its gradient by the embedded Triton kernels.
#include <algorithm>

#include "bindings_cuda/embedded.h"

namespace pyllm::bind_cuda::embedded {
namespace {

constexpr int64_t kTile = 4096, kRows = 8;  // elements and rows that a program takes at most

// As kernels/triton/embedded/rows.py compiles them: rows of up to 256, 1024 or 4096 elements whole.
void set_tile(Arguments& arguments, int64_t n) {
  int64_t width = kTile;
  for (const int64_t narrower : {1024, 256}) {
    if (n <= narrower) width = narrower;
  }
  arguments.integer("WHOLE", n <= kTile)
      .integer("N", width)
      .integer("R", std::min(kTile / width, kRows));
}

Arguments& strides(Arguments& arguments, const char* outer, const char* step, const char* inner,
                   int64_t row_stride) {
  return arguments.integer(outer, row_stride).integer(step, 1).integer(inner, row_stride);
}

bool queue(const char* function, const Arguments& arguments, int64_t rows, cudaStream_t stream) {
  const Launch launch(function, arguments);
  if (!launch) return false;
  if (rows > 0) launch(blocks(rows, launch.constant("R")), stream);
  return true;
}

}  // namespace

bool softmax_forward(const SoftmaxForward& args, cudaStream_t stream) {
  Arguments a;
  const char* storage = element(args.dtype);
  a.pointer("x", args.x, storage).pointer("y", args.y, storage);
  a.integer("M", args.rows).integer("n", args.n).integer("inner", 1);
  a.number("inverse", 1.0 / args.temperature);
  strides(a, "x_outer", "x_step", "x_inner", args.x_row_stride);
  strides(a, "y_outer", "y_step", "y_inner", args.y_row_stride);
  a.integer("MASKED", false).integer("LOG", args.log != 0);
  set_tile(a, args.n);
  return queue("softmax_forward_kernel", a, args.rows, stream);
}

bool softmax_backward(const SoftmaxBackward& args, cudaStream_t stream) {
  Arguments a;
  const char* storage = element(args.dtype);
  a.pointer("dy", args.dy, storage).pointer("y", args.y, storage).pointer("dx", args.dx, storage);
  a.integer("M", args.rows).integer("n", args.n).integer("inner", 1);
  a.number("inverse", 1.0 / args.temperature);
  strides(a, "dy_outer", "dy_step", "dy_inner", args.dy_row_stride);
  strides(a, "y_outer", "y_step", "y_inner", args.y_row_stride);
  strides(a, "dx_outer", "dx_step", "dx_inner", args.dx_row_stride);
  a.integer("LOG", args.log != 0);
  set_tile(a, args.n);
  return queue("softmax_backward_kernel", a, args.rows, stream);
}

}  // namespace pyllm::bind_cuda::embedded
