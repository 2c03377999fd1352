#include "cpu/trees/bootstrap.h"

#include <algorithm>

#include "core/philox.h"
#include "cpu/trees/sampling.h"

namespace pyllm::trees {

void Bootstrap::draw(uint64_t seed, int32_t* counts) const {
  const auto rows = static_cast<int64_t>(order.size());
  const double length = edges.back();
  std::fill_n(counts, rows, 0);
  const auto take = [&](uint32_t low, uint32_t high) {
    const double share = static_cast<double>((uint64_t{high} << 32 | low) >> 11) * 0x1p-53;
    const double point = share * length;
    const int64_t place = even
                              ? static_cast<int64_t>(point)
                              : std::upper_bound(edges.begin(), edges.end(), point) - edges.begin();
    ++counts[order[std::min(place, rows - 1)]];
  };
  for (int64_t i = 0; i < size; i += 2) {
    const auto words = philox(seed, stream_of(Draw::row, 0), static_cast<uint64_t>(i / 2));
    take(words[0], words[1]);
    if (i + 1 < size) take(words[2], words[3]);
  }
}

}  // namespace pyllm::trees
