// Launcher of reductions: one launch, or two where rows are cut into chunks.
#include "launch.cuh"
#include "reduction.cuh"

namespace pyllm::cuda {
namespace {

constexpr int64_t kShortRow = 1024;

template <class T, class U, class Op>
cudaError_t launch_stage(const Reduction& a, int64_t chunks, cudaStream_t stream) {
  const auto tall = static_cast<unsigned>(chunks);
  if (a.down) {
    const dim3 grid(static_cast<unsigned>((a.columns + dev::kWarpSize - 1) / dev::kWarpSize), tall);
    return PYLLM_LAUNCH((reduce_columns<T, U, Op>), grid, dim3(kReduceColumnThreads), 0, stream, a);
  }
  if (a.columns <= kShortRow) {
    using Team = RowTeam<dev::kWarpSize>;
    return PYLLM_LAUNCH((reduce_rows<T, U, Op, dev::kWarpSize>), dim3(Team::blocks(a.rows), tall),
                        dim3(Team::kBlock), 0, stream, a);
  }
  using Team = RowTeam<256>;
  return PYLLM_LAUNCH((reduce_rows<T, U, Op, 256>), dim3(Team::blocks(a.rows), tall),
                      dim3(Team::kBlock), 0, stream, a);
}

template <class T, class U, class Op>
cudaError_t launch_reduction(const Reduction& a, cudaStream_t stream) {
  if (a.chunks == 1) return launch_stage<T, U, Op>(a, 1, stream);
  Reduction first = a, second = a;
  first.y = a.partial;
  second.x = a.partial;
  (a.down ? second.rows : second.columns) = a.chunks;
  const cudaError_t error = launch_stage<T, float, Op>(first, a.chunks, stream);
  return error != cudaSuccess ? error : launch_stage<float, U, Op>(second, 1, stream);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_reduction(const Reduction* args, cudaStream_t stream) {
  using namespace pyllm;
  using namespace pyllm::cuda;
  const Reduction& a = *args;
  if (a.rows < 0 || a.columns < 0 || a.chunks < 1 || a.chunks > kMaxGridYZ ||
      (a.chunks > 1) != (a.partial != nullptr) || (a.down ? a.columns : a.rows) > kMaxGridX) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if ((a.down ? a.columns : a.rows) == 0) return cudaSuccess;
    switch (a.op) {
      case kReduceSum:
        return launch_reduction<T, float, dev::Sum>(a, stream);
      case kReduceMax:
        return launch_reduction<T, T, Highest>(a, stream);
      case kReduceMin:
        return launch_reduction<T, T, Lowest>(a, stream);
      default:
        return cudaErrorInvalidValue;
    }
  });
}
