// Launchers of histograms: how many rows a block takes.
#include "launch.cuh"
#include "tree_histogram.cuh"

namespace pyllm::cuda {
namespace {

constexpr int64_t kMaxGroupBins = 20000;
constexpr int64_t kLeastRows = 1024, kBlocksWanted = 512;
constexpr int kClearThreads = 256;

unsigned blocks(int64_t n) {
  return static_cast<unsigned>((n + kClearThreads - 1) / kClearThreads);
}

// Few enough blocks that adding up their sums is cheap, enough to fill a GPU.
int64_t rows_of_a_block(const TreeHistogram& a, int64_t groups) {
  const int64_t wanted = a.most_rows * groups * a.nodes / kBlocksWanted;
  if (wanted > kTreeBlockRows) return kTreeBlockRows;
  return wanted < kLeastRows ? kLeastRows : wanted;
}

template <class Code, class Word>
cudaError_t histogram(const TreeHistogram& a, dim3 grid, int64_t tile, cudaStream_t stream) {
  const size_t shared = static_cast<size_t>(a.group_bins) * 2 * sizeof(Word);
  return PYLLM_LAUNCH((tree_histogram<Code, Word>), grid, dim3(kHistogramThreads), shared, stream,
                      a, tile);
}

template <class Code>
cudaError_t with_sums(const TreeHistogram& a, dim3 grid, int64_t tile, cudaStream_t stream) {
  return a.wide_sums ? histogram<Code, int64_t>(a, grid, tile, stream)
                     : histogram<Code, int32_t>(a, grid, tile, stream);
}

}  // namespace
}  // namespace pyllm::cuda

using namespace pyllm::cuda;

extern "C" cudaError_t pyllm_cuda_tree_histogram(const TreeHistogram* args, cudaStream_t stream) {
  const TreeHistogram& a = *args;
  if (a.nodes < 0 || a.nodes > kMaxGridYZ || a.features < 0 || a.total_bins < 0 ||
      a.most_rows < 0 || a.most_rows > INT32_MAX || a.features_per_group < 1 ||
      a.features_per_group > INT32_MAX / kTreeBlockRows || a.group_bins < 0 ||
      a.group_bins > (a.wide_sums ? kMaxGroupBins / 2 : kMaxGroupBins) ||
      a.features > kMaxGridYZ * a.features_per_group) {
    return cudaErrorInvalidValue;
  }
  if (a.nodes == 0 || a.total_bins == 0) return cudaSuccess;
  const dim3 all(blocks(a.total_bins * 2), static_cast<unsigned>(a.nodes));
  const cudaError_t error =
      PYLLM_LAUNCH(tree_clear<kClearThreads>, all, dim3(kClearThreads), 0, stream, a);
  if (error != cudaSuccess || a.most_rows == 0) return error;
  const int64_t groups = (a.features + a.features_per_group - 1) / a.features_per_group;
  const int64_t tile = rows_of_a_block(a, groups);
  const dim3 grid(static_cast<unsigned>((a.most_rows + tile - 1) / tile),
                  static_cast<unsigned>(groups), static_cast<unsigned>(a.nodes));
  return a.wide ? with_sums<uint16_t>(a, grid, tile, stream)
                : with_sums<uint8_t>(a, grid, tile, stream);
}

extern "C" cudaError_t pyllm_cuda_tree_subtract(const TreeSubtract* args, cudaStream_t stream) {
  if (args->bins < 0 || args->pairs < 0 || args->pairs > kMaxGridYZ) return cudaErrorInvalidValue;
  if (args->bins == 0 || args->pairs == 0) return cudaSuccess;
  const dim3 grid(blocks(args->bins), static_cast<unsigned>(args->pairs));
  return PYLLM_LAUNCH(tree_subtract<kClearThreads>, grid, dim3(kClearThreads), 0, stream, *args);
}
