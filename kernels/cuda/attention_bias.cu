// Launcher of the gradient of attention's bias; delta must be there already.
#include "attention_backward_bias.cuh"
#include "attention_launch.cuh"

extern "C" cudaError_t pyllm_cuda_attention_bias_backward(const AttentionBackward* args,
                                                          cudaStream_t stream) {
  using namespace pyllm::cuda;
  const AttentionBackward& b = *args;
  const Attention& a = b.forward;
  if (!valid(a) || !a.bias || !b.dbias) return cudaErrorInvalidValue;
  return with_shape(a, [&](auto type, auto dim) -> cudaError_t {
    using T = decltype(type);
    using Shape = BiasGradientShape<T, decltype(dim)::value>;
    const auto tiles_of = [&](int axis, int64_t length, int64_t rows) {
      return b.dbias_strides[axis] == 0 ? int64_t{1} : (length + rows - 1) / rows;
    };
    const int64_t tiles[4] = {tiles_of(0, sequence_count(a), 1), tiles_of(1, a.heads, 1),
                              tiles_of(2, longest_queries(a), Shape::kRows),
                              tiles_of(3, longest_keys(a), Shape::kSteps)};
    if (tiles[0] > kMaxGridX || tiles[2] * tiles[3] > kMaxGridX ||
        tiles[0] * (tiles[2] * tiles[3]) > kMaxGridX) {
      return cudaErrorInvalidValue;
    }
    const dim3 grid(static_cast<unsigned>(tiles[0] * tiles[2] * tiles[3]),
                    static_cast<unsigned>(tiles[1]));
    if (grid.x == 0) return cudaSuccess;
    const BiasTiles by_axis{static_cast<int>(tiles[2]), static_cast<int>(tiles[3])};
    return PYLLM_LAUNCH((attention_backward_bias<T, decltype(dim)::value>), grid,
                        dim3(Shape::kThreads), Shape::kSharedBytes, stream, b, by_axis,
                        sequence_count(a), longest_queries(a), longest_keys(a));
  });
}
