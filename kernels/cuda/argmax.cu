// Launcher of places of extrema: one launch, or two where rows are cut into chunks.
#include "argmax.cuh"
#include "launch.cuh"

namespace pyllm::cuda {
namespace {

constexpr int64_t kShortRow = 1024;

template <class T, int kThreads>
cudaError_t launch_places(const ExtremumPlaces& a, cudaStream_t stream) {
  using Team = RowTeam<kThreads>;
  const dim3 grid(Team::blocks(a.rows), static_cast<unsigned>(a.chunks));
  const cudaError_t error =
      PYLLM_LAUNCH((extremum_places<T, kThreads>), grid, dim3(Team::kBlock), 0, stream, a);
  if (error != cudaSuccess || a.chunks == 1) return error;
  using Warp = RowTeam<dev::kWarpSize>;
  return PYLLM_LAUNCH(join_places<dev::kWarpSize>, dim3(Warp::blocks(a.rows)), dim3(Warp::kBlock),
                      0, stream, a);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_extremum_places(const ExtremumPlaces* args, cudaStream_t stream) {
  using namespace pyllm;
  using namespace pyllm::cuda;
  const ExtremumPlaces& a = *args;
  const bool in_chunks = a.values != nullptr && a.places != nullptr;
  if (a.rows < 0 || a.rows > kMaxGridX || a.columns < 1 || a.chunks < 1 || a.chunks > kMaxGridYZ ||
      (a.chunks > 1) != in_chunks) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if (a.rows == 0) return cudaSuccess;
    return a.columns <= kShortRow ? launch_places<T, dev::kWarpSize>(a, stream)
                                  : launch_places<T, 256>(a, stream);
  });
}
