#pragma once

#include <cstdint>
#include <vector>

namespace pyllm::trees {

// What a Philox stream of a tree is for; the low 61 bits say which level, node or output.
enum class Draw : uint64_t { tree, level, node, cut, round, row };

inline uint64_t stream_of(Draw draw, uint64_t which) {
  return static_cast<uint64_t>(draw) << 61 | (which & ((uint64_t{1} << 61) - 1));
}

// A share of some features, at least one, in their order.
std::vector<int32_t> draw_features(const std::vector<int32_t>& from, double share, uint64_t seed,
                                   uint64_t stream);

// The name of a child: nodes draw by the path that leads to them, not by when they were made.
inline uint64_t child_key(uint64_t parent, bool right) {
  uint64_t z = parent * 2 + (right ? 1 : 0) + 0x9E3779B97F4A7C15u;  // splitmix64
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

}  // namespace pyllm::trees
