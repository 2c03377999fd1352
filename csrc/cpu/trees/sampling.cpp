#include "cpu/trees/sampling.h"

#include <algorithm>

#include "core/philox.h"

namespace pyllm::trees {

std::vector<int32_t> draw_features(const std::vector<int32_t>& from, double share, uint64_t seed,
                                   uint64_t stream) {
  if (share >= 1.0 || from.size() <= 1) return from;
  const auto n = from.size();
  // A share that is k / n up to rounding draws k.
  const auto count =
      std::max<size_t>(1, static_cast<size_t>(share * static_cast<double>(n) + 1e-9));
  std::vector<int32_t> drawn = from;
  for (size_t i = 0; i < count; ++i) {
    const auto words = philox(seed, stream, i);
    const uint64_t word = uint64_t{words[0]} << 32 | words[1];
    const auto j = static_cast<size_t>(static_cast<unsigned __int128>(word) * (n - i) >> 64);
    std::swap(drawn[i], drawn[i + j]);
  }
  drawn.resize(count);
  // In the order of `from`, which is not that of their numbers.
  std::vector<int32_t> kept;
  std::sort(drawn.begin(), drawn.end());
  for (const int32_t f : from) {
    if (std::binary_search(drawn.begin(), drawn.end(), f)) kept.push_back(f);
  }
  return kept;
}

}  // namespace pyllm::trees
