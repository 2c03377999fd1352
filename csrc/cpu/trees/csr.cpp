#include "cpu/trees/csr.h"

#include <algorithm>
#include <atomic>
#include <type_traits>

#include "core/parallel.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kLeastWork = 1 << 16;  // entries and rows of a range
constexpr int64_t kEntriesACount = 4;    // at least so many for each number by range and feature
constexpr int64_t kRangesAThread = 4;

}  // namespace

std::vector<int64_t> row_ranges(const CsrMatrix& matrix) {
  const auto work = [&](int64_t row) { return matrix.offset[row] - matrix.offset[0] + row; };
  const int64_t least = std::max(kLeastWork, kEntriesACount * matrix.features);
  const int64_t most = kRangesAThread * num_threads();
  const int64_t ranges = std::clamp<int64_t>(work(matrix.rows) / least, 1, most);
  std::vector<int64_t> begins(ranges + 1, matrix.rows);
  begins[0] = 0;
  for (int64_t r = 1; r < ranges; ++r) {
    const int64_t share = work(matrix.rows) / ranges * r;
    int64_t low = begins[r - 1], high = matrix.rows;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (work(middle) < share) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    begins[r] = low;
  }
  return begins;
}

bool count_stored(const CsrMatrix& matrix, std::vector<int64_t>& stored) {
  const std::vector<int64_t> begins = row_ranges(matrix);
  const auto ranges = static_cast<int64_t>(begins.size()) - 1;
  std::vector<std::vector<int32_t>> counts(ranges);
  std::atomic<bool> rise{true};
  with_types(matrix.data, matrix.indices, [&](auto*, auto* index) {
    parallel_tasks(ranges, [&](int64_t r) {
      counts[r].resize(matrix.features);
      const auto* indices = matrix.indices.as<std::remove_pointer_t<decltype(index)>>();
      for (int64_t row = begins[r]; row < begins[r + 1]; ++row) {
        int64_t last = -1;
        for (int64_t i = matrix.offset[row]; i < matrix.offset[row + 1]; ++i) {
          if (indices[i] <= last || indices[i] >= matrix.features) {
            rise.store(false, std::memory_order_relaxed);
            return;
          }
          last = indices[i];
          ++counts[r][last];
        }
      }
    });
  });
  stored.assign(matrix.features, 0);
  for (const auto& range : counts) {
    for (size_t f = 0; f < range.size(); ++f) stored[f] += range[f];
  }
  return rise.load();
}

}  // namespace pyllm::trees
