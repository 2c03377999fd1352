// Draws of some features out of the same ones, again and again, without allocating.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <numeric>
#include <vector>

#include "core/philox.h"

namespace pyllm::trees {

class FeatureDraw {
 public:
  explicit FeatureDraw(const std::vector<int32_t>& from)
      : from_(from), place_(from.size()), taken_(from.size() / 64 + 1) {
    std::iota(place_.begin(), place_.end(), 0);
  }

  // A share of the features, at least one, in their order.
  const std::vector<int32_t>& operator()(double share, uint64_t seed, uint64_t stream) {
    const auto n = static_cast<int32_t>(from_.size());
    if (share >= 1.0 || n <= 1) return from_;
    // A share that is k / n up to rounding draws k.
    const int32_t count = std::max(1, static_cast<int32_t>(share * n + 1e-9));
    swapped_.resize(count);
    for (int32_t i = 0; i < count; ++i) {
      const auto words = philox(seed, stream, static_cast<uint64_t>(i));
      const uint64_t word = uint64_t{words[0]} << 32 | words[1];
      swapped_[i] = i + static_cast<int32_t>(static_cast<unsigned __int128>(word) * (n - i) >> 64);
      std::swap(place_[i], place_[swapped_[i]]);
      taken_[place_[i] / 64] |= uint64_t{1} << place_[i] % 64;
    }
    for (int32_t i = count - 1; i >= 0; --i) std::swap(place_[i], place_[swapped_[i]]);
    drawn_.clear();
    for (size_t w = 0; w < taken_.size(); ++w) {
      for (; taken_[w] != 0; taken_[w] &= taken_[w] - 1) {
        drawn_.push_back(from_[w * 64 + std::countr_zero(taken_[w])]);
      }
    }
    return drawn_;
  }

 private:
  const std::vector<int32_t>& from_;
  std::vector<int32_t> place_, swapped_, drawn_;
  std::vector<uint64_t> taken_;
};

}  // namespace pyllm::trees
