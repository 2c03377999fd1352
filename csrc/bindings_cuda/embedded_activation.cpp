// Activations and gated units by the embedded Triton kernels; the biases of gated units stay with
// CUDA.
#include "bindings_cuda/embedded_columns.h"

namespace pyllm::bind_cuda::embedded {
namespace {

const char* word_of(int32_t kind) {
  constexpr const char* kWords[] = {"relu", "gelu", "gelu_tanh", "silu"};
  return kWords[kind];
}

struct Matrix {
  int64_t rows, n;
};

// Contiguous arrays without a bias are one row.
template <class... Strides>
Matrix cut(int64_t rows, int64_t n, bool biased, Strides&... strides) {
  if (biased || !((strides == n) && ...)) return {rows, n};
  const int64_t all = rows * n;
  ((strides = all), ...);
  return {1, all};
}

// The tiles are ELEMENTS / C rows by C columns.
bool queue(const char* function, Arguments& a, const Matrix& m, int64_t columns,
           cudaStream_t stream) {
  a.integer("M", m.rows).integer("n", m.n).integer("C", columns);
  const Launch launch(function, a);
  if (!launch) return false;
  const int64_t rows = launch.constant("ELEMENTS") / columns;
  if (m.rows > 0 && m.n > 0) launch(blocks(m.n, columns) * blocks(m.rows, rows), stream);
  return true;
}

constexpr int64_t kColumns = 1024, kBiasedColumns = 256;
constexpr int64_t kBackwardRows = 2;  // of 1024 columns: 2048 elements a tile

// A program walks down its share of the rows and leaves their sums for dbias.
bool biased_backward(const ActivationBackward& args, Arguments& a, cudaStream_t stream) {
  const int64_t shares = args.partial_rows;
  const ColumnSums dbias(args.partial, args.dbias, args.dtype, shares, args.n);
  a.integer("M", args.rows).integer("n", args.n).integer("each", blocks(args.rows, shares));
  a.integer("BIAS", true).integer("C", kBiasedColumns);
  const Launch launch("activation_backward_kernel", a);
  if (!launch || !dbias) return false;
  if (args.n > 0) launch(blocks(args.n, kBiasedColumns) * shares, stream);
  dbias(stream);
  return true;
}

}  // namespace

bool activation_forward(const ActivationForward& given, cudaStream_t stream) {
  ActivationForward args = given;
  const bool biased = args.bias != nullptr;
  const Matrix m = cut(args.rows, args.n, biased, args.x_row_stride, args.y_row_stride);
  Arguments a;
  const char* storage = element(args.dtype);
  a.pointer("x", args.x, storage).pointer("y", args.y, storage);
  a.pointer("bias", args.bias, storage).integer("BIAS", biased);
  a.integer("x_pitch", args.x_row_stride).integer("y_pitch", args.y_row_stride);
  a.word("KIND", word_of(args.kind));
  return queue("activation_forward_kernel", a, m, biased ? kBiasedColumns : kColumns, stream);
}

bool activation_backward(const ActivationBackward& given, cudaStream_t stream) {
  ActivationBackward args = given;
  const bool biased = args.bias != nullptr;
  const Matrix m =
      cut(args.rows, args.n, biased, args.dy_row_stride, args.x_row_stride, args.dx_row_stride);
  Arguments a;
  const char* storage = element(args.dtype);
  a.pointer("dy", args.dy, storage).pointer("x", args.x, storage).pointer("dx", args.dx, storage);
  a.integer("dy_pitch", args.dy_row_stride).integer("x_pitch", args.x_row_stride);
  a.integer("dx_pitch", args.dx_row_stride).word("KIND", word_of(args.kind));
  a.pointer("bias", args.bias, storage).pointer("dbias", args.partial, "fp32");
  if (biased) return biased_backward(args, a, stream);
  a.integer("each", kBackwardRows).integer("BIAS", false);
  return queue("activation_backward_kernel", a, m, kColumns, stream);
}

bool glu_forward(const GluForward& given, cudaStream_t stream) {
  GluForward args = given;
  if (args.gate_bias != nullptr || args.up_bias != nullptr) return false;
  const Matrix m =
      cut(args.rows, args.n, false, args.gate_row_stride, args.up_row_stride, args.y_row_stride);
  Arguments a;
  const char* storage = element(args.dtype);
  a.pointer("gate", args.gate, storage).pointer("up", args.up, storage);
  a.pointer("y", args.y, storage).word("KIND", word_of(args.kind));
  a.integer("GATE_BIAS", false).integer("UP_BIAS", false);
  a.integer("gate_pitch", args.gate_row_stride).integer("up_pitch", args.up_row_stride);
  a.integer("y_pitch", args.y_row_stride);
  return queue("glu_forward_kernel", a, m, kColumns, stream);
}

bool glu_backward(const GluBackward& given, cudaStream_t stream) {
  GluBackward args = given;
  if (args.gate_bias != nullptr || args.up_bias != nullptr) return false;
  const Matrix m = cut(args.rows, args.n, false, args.dy_row_stride, args.gate_row_stride,
                       args.up_row_stride, args.dgate_row_stride, args.dup_row_stride);
  Arguments a;
  const char* storage = element(args.dtype);
  a.pointer("dy", args.dy, storage).pointer("gate", args.gate, storage);
  a.pointer("up", args.up, storage).pointer("dgate", args.dgate, storage);
  a.pointer("dup", args.dup, storage).word("KIND", word_of(args.kind));
  a.integer("each", kBackwardRows).integer("GATE_BIAS", false).integer("UP_BIAS", false);
  a.integer("dy_pitch", args.dy_row_stride).integer("gate_pitch", args.gate_row_stride);
  a.integer("up_pitch", args.up_row_stride).integer("dgate_pitch", args.dgate_row_stride);
  a.integer("dup_pitch", args.dup_row_stride);
  return queue("glu_backward_kernel", a, m, kColumns, stream);
}

}  // namespace pyllm::bind_cuda::embedded
