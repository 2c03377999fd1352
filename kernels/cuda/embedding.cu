// Launchers of embedding: vector widths, and the sort of backward.
#include "embedding.cuh"
#include "sort.cuh"

namespace pyllm::cuda {
namespace {

constexpr int64_t kMaxEntries = INT32_MAX, kMaxWidth = int64_t{1} << 22;

template <class Args>
bool valid(const Args& a) {
  return a.rows >= 0 && a.rows <= kMaxGridX && a.entries >= 0 && a.entries <= kMaxEntries &&
         a.width >= 0 && a.width <= kMaxWidth && is_index_type(a.id_dtype);
}

unsigned blocks(int64_t n) {
  return static_cast<unsigned>((n + kEmbeddingThreads - 1) / kEmbeddingThreads);
}

template <class T, class D, int W>
cudaError_t sums(const EmbeddingBackward& a, cudaStream_t stream) {
  const unsigned across = blocks(a.width / W);
  const dim3 tiles(static_cast<unsigned>((a.rows + kEmbeddingTile - 1) / kEmbeddingTile), across);
  if (a.rows > 0) {
    const cudaError_t error =
        PYLLM_LAUNCH((embedding_tiles<T, D, W>), tiles, dim3(kEmbeddingThreads), 0, stream, a);
    if (error != cudaSuccess) return error;
  }
  return PYLLM_LAUNCH((embedding_rest<D, W>), dim3(static_cast<unsigned>(a.entries), across),
                      dim3(kEmbeddingThreads), 0, stream, a);
}

template <class T, class D>
cudaError_t sums(const EmbeddingBackward& a, cudaStream_t stream) {
  constexpr int W = dev::kVecWidth<T>;
  const bool wide = a.width % W == 0 && rows_aligned<T>(a.grad, a.grad_row_stride) &&
                    rows_aligned<D>(a.dweight, 0) && rows_aligned<float>(a.partial, 0);
  return wide ? sums<T, D, W>(a, stream) : sums<T, D, 1>(a, stream);
}

// Leaves the sorted keys and numbers in a.keys and a.numbers.
cudaError_t sort_rows(EmbeddingBackward& a, cudaStream_t stream) {
  const dim3 block(kEmbeddingThreads);
  if (a.rows > 0) {
    cudaError_t error =
        PYLLM_LAUNCH(embedding_keys<kEmbeddingThreads>, dim3(blocks(a.rows)), block, 0, stream, a);
    int bits = 0, half = 0;
    while (a.entries >> bits != 0) ++bits;
    if (error == cudaSuccess) {
      error = launch_sort({a.keys, a.numbers, a.counts, a.rows}, bits, half, stream);
    }
    if (error != cudaSuccess) return error;
    a.keys += half * a.rows, a.numbers += half * a.rows;
  }
  return PYLLM_LAUNCH(embedding_starts<kEmbeddingThreads>, dim3(blocks(a.entries + 1)), block, 0,
                      stream, a);
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm::cuda;
using namespace pyllm;

extern "C" cudaError_t pyllm_cuda_embedding_forward(const EmbeddingForward* args,
                                                    cudaStream_t stream) {
  const EmbeddingForward& a = *args;
  if (!valid(a)) return cudaErrorInvalidValue;
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    using Team = RowTeam<dev::kWarpSize>;
    constexpr int W = dev::kVecWidth<T>;
    if (a.rows == 0 || a.width == 0) return cudaSuccess;
    const dim3 grid(Team::blocks(a.rows)), block(Team::kBlock);
    const bool wide =
        a.width % W == 0 && rows_aligned<T>(a.weight, 0) && rows_aligned<T>(a.y, a.y_row_stride);
    return wide ? PYLLM_LAUNCH((embedding_forward<T, W>), grid, block, 0, stream, a)
                : PYLLM_LAUNCH((embedding_forward<T, 1>), grid, block, 0, stream, a);
  });
}

extern "C" cudaError_t pyllm_cuda_embedding_backward(const EmbeddingBackward* args,
                                                     cudaStream_t stream) {
  EmbeddingBackward a = *args;
  if (!valid(a) || (a.dweight_dtype != a.dtype && a.dweight_dtype != kFloat32)) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if (a.entries == 0 || a.width == 0) return cudaSuccess;
    if (const cudaError_t error = sort_rows(a, stream); error != cudaSuccess) return error;
    return a.dweight_dtype == kFloat32 ? sums<T, float>(a, stream) : sums<T, T>(a, stream);
  });
}
