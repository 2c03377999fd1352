// Launcher of attention: checks what the kernel relies on, picks the padded head size.
#include "attention.cuh"
#include "launch.cuh"

namespace pyllm::cuda {
namespace {

constexpr int64_t kMaxGridYZ = 65535, kMaxHeadDim = 256, kVector = 8;

bool takes_vectors(const void* p, const int64_t (&strides)[3]) {
  if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return false;
  for (const int64_t stride : strides) {
    if (stride % kVector != 0) return false;
  }
  return true;
}

bool valid(const AttentionForward& a) {
  return a.batch >= 0 && a.queries >= 0 && a.keys >= 0 && a.heads >= 1 && a.kv_heads >= 1 &&
         a.heads % a.kv_heads == 0 && a.batch <= kMaxGridYZ && a.heads <= kMaxGridYZ &&
         a.head_dim >= kVector && a.head_dim <= kMaxHeadDim && a.head_dim % kVector == 0 &&
         a.left >= 0 && a.right >= 0 && takes_vectors(a.q, a.q_strides) &&
         takes_vectors(a.k, a.k_strides) && takes_vectors(a.v, a.v_strides) &&
         takes_vectors(a.out, a.out_strides);
}

template <class T, int D>
cudaError_t launch_forward(const AttentionForward& a, cudaStream_t stream) {
  const auto tiles = static_cast<unsigned>((a.queries + kAttentionQueries - 1) / kAttentionQueries);
  const dim3 grid(tiles, static_cast<unsigned>(a.heads), static_cast<unsigned>(a.batch));
  return PYLLM_LAUNCH((attention_forward<T, D>), grid, dim3(kAttentionThreads),
                      AttentionShape<D>::kSharedBytes, stream, a);
}

template <class T>
cudaError_t forward(const AttentionForward& a, cudaStream_t stream) {
  if (a.batch == 0 || a.queries == 0) return cudaSuccess;
  if (a.head_dim <= 32) return launch_forward<T, 32>(a, stream);
  if (a.head_dim <= 64) return launch_forward<T, 64>(a, stream);
  if (a.head_dim <= 96) return launch_forward<T, 96>(a, stream);
  if (a.head_dim <= 128) return launch_forward<T, 128>(a, stream);
  return launch_forward<T, 256>(a, stream);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_attention_forward(const AttentionForward* args,
                                                    cudaStream_t stream) {
  using namespace pyllm;
  if (!cuda::valid(*args)) return cudaErrorInvalidValue;
  switch (args->dtype) {
    case cuda::kFloat16:
      return cuda::forward<dev::half_t>(*args, stream);
    case cuda::kBFloat16:
      return cuda::forward<dev::bf16_t>(*args, stream);
    default:
      return cudaErrorInvalidValue;
  }
}
