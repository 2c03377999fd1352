// Launcher of the attention backward: delta, then dK and dV, then dQ.
#include "attention_backward_kv.cuh"
#include "attention_backward_q.cuh"
#include "attention_launch.cuh"

namespace pyllm::cuda {
namespace {

template <class T>
cudaError_t launch_delta(const AttentionBackward& b, cudaStream_t stream) {
  const int64_t rows = b.forward.batch * b.forward.heads * b.forward.queries;
  constexpr int64_t kRows = kDeltaThreads / kDeltaLanes;
  if (rows == 0) return cudaSuccess;
  if (rows > kMaxGridX * kRows) return cudaErrorInvalidValue;
  const dim3 grid(static_cast<unsigned>((rows + kRows - 1) / kRows));
  return PYLLM_LAUNCH((attention_delta<T>), grid, dim3(kDeltaThreads), 0, stream, b);
}

template <class T, int D>
cudaError_t launch_kv(const AttentionBackward& b, cudaStream_t stream) {
  const Attention& a = b.forward;
  using Shape = KeyGradientShape<T, D>;
  const TileGrid g(sequence_count(a), longest_keys(a), Shape::kRows, a.kv_heads);
  if (!g.fits()) return cudaErrorInvalidValue;
  if (g.blocks == 0) return cudaSuccess;
  return PYLLM_LAUNCH((attention_backward_kv<T, D>), g.grid, dim3(Shape::kThreads),
                      Shape::kSharedBytes, stream, b, g.tiles);
}

template <class T, int D>
cudaError_t launch_q(const AttentionBackward& b, cudaStream_t stream) {
  const Attention& a = b.forward;
  using Shape = QueryGradientShape<T, D>;
  const TileGrid g(sequence_count(a), longest_queries(a), Shape::kRows, a.heads);
  if (!g.fits()) return cudaErrorInvalidValue;
  if (g.blocks == 0) return cudaSuccess;
  return PYLLM_LAUNCH((attention_backward_q<T, D>), g.grid, dim3(Shape::kThreads),
                      Shape::kSharedBytes, stream, b, g.tiles);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_attention_backward(const AttentionBackward* args,
                                                     cudaStream_t stream) {
  using namespace pyllm::cuda;
  const AttentionBackward& b = *args;
  if (!valid(b.forward)) return cudaErrorInvalidValue;
  return with_shape(b.forward, [&](auto type, auto dim) -> cudaError_t {
    using T = decltype(type);
    constexpr int D = decltype(dim)::value;
    if (const cudaError_t error = launch_delta<T>(b, stream)) return error;
    if (const cudaError_t error = launch_kv<T, D>(b, stream)) return error;
    return launch_q<T, D>(b, stream);
  });
}
