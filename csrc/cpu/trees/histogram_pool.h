// Memory of the histograms of a tree's open nodes, reused from node to node.
#pragma once

#include <utility>
#include <vector>

#include "core/scratch.h"
#include "cpu/trees/histogram.h"

namespace pyllm::trees {

class HistogramPool {
 public:
  explicit HistogramPool(int64_t length) : length_(length) {}

  Histogram take(Packing packing) {
    auto& free = free_[static_cast<int>(packing)];
    if (free.empty()) {
      const size_t word = with_word(packing, [](auto w) { return sizeof w; });
      blocks_.emplace_back(length_ * word);
      free.push_back(blocks_.back().data());
    }
    const Histogram histogram{free.back(), packing};
    free.pop_back();
    return histogram;
  }

  void give_back(Histogram& histogram) {
    if (histogram.sums) free_[static_cast<int>(histogram.packing)].push_back(histogram.sums);
    histogram.sums = nullptr;
  }

 private:
  int64_t length_;
  std::vector<Scratch<char>> blocks_;
  std::vector<void*> free_[3];
};

}  // namespace pyllm::trees
