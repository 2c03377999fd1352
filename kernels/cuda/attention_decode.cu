// Launcher of the attention decode: the parts, then their join.
#include "attention_decode.cuh"
#include "attention_launch.cuh"

namespace pyllm::cuda {
namespace {

bool valid(const AttentionDecode& a) {
  const auto dim = [](int64_t n) { return n >= 1 && n <= kMaxHeadDim; };
  const auto length = [](int64_t n) { return n >= 0 && n <= kMaxLength; };
  return a.batch >= 0 && length(a.queries) && a.heads >= 1 && a.kv_heads >= 1 &&
         a.heads % a.kv_heads == 0 && a.heads <= kMaxGridYZ && dim(a.head_dim) &&
         dim(a.value_dim) && length(a.capacity) && a.left >= 0 && a.softcap >= 0.0f &&
         a.splits >= 1 && a.splits <= kMaxGridX &&
         (!a.block_table || (a.blocks >= 0 && length(a.blocks_per_sequence) &&
                             a.capacity * a.blocks_per_sequence <= kMaxLength && a.capacity >= 1));
}

template <class T, int D>
cudaError_t launch_parts(const AttentionDecode& a, cudaStream_t stream) {
  using Shape = DecodeShape<T, D>;
  const int64_t rows = a.queries * (a.heads / a.kv_heads);
  const int64_t row_tiles = (rows + Shape::kRows - 1) / Shape::kRows;
  if (rows > kMaxLength || a.batch > kMaxGridX / row_tiles / a.splits) return cudaErrorInvalidValue;
  const dim3 grid(static_cast<unsigned>(a.splits * row_tiles * a.batch),
                  static_cast<unsigned>(a.kv_heads));
  return PYLLM_LAUNCH((attention_decode<T, D>), grid, dim3(Shape::kThreads), Shape::kSharedBytes,
                      stream, a, row_tiles);
}

template <class T>
cudaError_t launch_combine(const AttentionDecode& a, cudaStream_t stream) {
  const int64_t rows = a.batch * a.heads * a.queries;
  if (rows > kMaxGridX) return cudaErrorInvalidValue;
  const dim3 grid(static_cast<unsigned>((rows + kCombineWarps - 1) / kCombineWarps));
  return PYLLM_LAUNCH((attention_decode_combine<T>), grid, dim3(kCombineThreads), 0, stream, a);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_attention_decode(const AttentionDecode* args,
                                                   cudaStream_t stream) {
  using namespace pyllm::cuda;
  const AttentionDecode& a = *args;
  if (!valid(a)) return cudaErrorInvalidValue;
  return with_shape(a, [&](auto type, auto dim) -> cudaError_t {
    using T = decltype(type);
    if (a.batch == 0 || a.queries == 0) return cudaSuccess;
    if (const cudaError_t error = launch_parts<T, decltype(dim)::value>(a, stream)) return error;
    return launch_combine<T>(a, stream);
  });
}
