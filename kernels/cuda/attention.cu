// Launcher of the attention forward.
#include "attention_forward.cuh"
#include "attention_launch.cuh"

extern "C" cudaError_t pyllm_cuda_attention_forward(const Attention* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  const Attention& a = *args;
  if (!valid(a)) return cudaErrorInvalidValue;
  return with_shape(a, [&](auto type, auto dim) -> cudaError_t {
    using T = decltype(type);
    constexpr int D = decltype(dim)::value;
    using Shape = ForwardShape<T, D>;
    const TileGrid g(sequence_count(a), longest_queries(a), Shape::kQueries, a.heads);
    if (!g.fits()) return cudaErrorInvalidValue;
    if (g.blocks == 0) return cudaSuccess;
    return PYLLM_LAUNCH((attention_forward<T, D>), g.grid, dim3(Shape::kThreads),
                        Shape::kSharedBytes, stream, a, g.tiles);
  });
}
