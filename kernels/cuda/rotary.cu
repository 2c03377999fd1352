// Launcher of the rotary embedding: the layout of pairs and the vector width.
#include "launch.cuh"
#include "rotary.cuh"

namespace pyllm::cuda {
namespace {

constexpr int64_t kMaxHalf = 4096, kMaxHeadElements = 1 << 24;  // a row of tables fits 32 KiB

bool valid(const Rotary& a) {
  return a.batch >= 0 && a.seq >= 0 && a.heads >= 0 && a.half >= 0 && a.dim >= 2 * a.half &&
         a.half <= kMaxHalf && a.length >= 0 && (a.seq == 0 || a.batch <= kMaxGridX / a.seq) &&
         (a.dim == 0 || a.heads <= kMaxHeadElements / a.dim) &&
         (a.table_dtype == a.dtype || a.table_dtype == kFloat32) &&
         (a.positions == nullptr || is_index_type(a.position_dtype));
}

template <class T, int W, bool kInterleaved>
cudaError_t launch(const Rotary& a, cudaStream_t stream) {
  // A kernel without rotated features still asks for its tables.
  const size_t tables = sizeof(float) * 2 * static_cast<size_t>(a.half > 0 ? a.half : 1);
  return PYLLM_LAUNCH((rotary<T, W, kInterleaved>), dim3(static_cast<unsigned>(a.batch * a.seq)),
                      dim3(kRotaryThreads), tables, stream, a);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_rotary(const Rotary* args, cudaStream_t stream) {
  using namespace pyllm;
  using namespace pyllm::cuda;
  const Rotary& a = *args;
  if (!valid(a)) return cudaErrorInvalidValue;
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    constexpr int W = dev::kVecWidth<T>;
    if (a.batch * a.seq * a.heads * a.dim == 0) return cudaSuccess;
    bool wide = (a.interleaved ? 2 * a.half : a.half) % W == 0;
    for (const int64_t stride : {a.x_batch_stride, a.x_seq_stride, a.x_head_stride}) {
      wide = wide && rows_aligned<T>(a.x, stride);
    }
    for (const int64_t stride : {a.y_batch_stride, a.y_seq_stride, a.y_head_stride}) {
      wide = wide && rows_aligned<T>(a.y, stride);
    }
    if (a.interleaved) {
      // Two neighbours may stand anywhere, so without vectors each is an access of its own.
      return wide ? launch<T, W, true>(a, stream) : launch<T, 2, true>(a, stream);
    }
    return wide ? launch<T, W, false>(a, stream) : launch<T, 1, false>(a, stream);
  });
}
