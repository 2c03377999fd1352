// Memory of the histograms of a tree's open nodes on a device, reused from node to node.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "bindings_cuda/device.h"
#include "bindings_cuda/device_node.h"

namespace pyllm::bind_cuda {

class HistogramPlaces {
 public:
  // As many as may be needed, or as fit a GiB and the device; four at least: a parent, its two
  // children, one more.
  HistogramPlaces(int64_t bins, int64_t needed, const Stream& stream) {
    constexpr int64_t kBytes = int64_t{1} << 30, kLeast = 4;
    const int64_t bytes = std::max<int64_t>(bins, 1) * 2 * static_cast<int64_t>(sizeof(int64_t));
    count_ = std::max(kLeast, std::min(needed, kBytes / bytes));
    while (!memory_) {
      try {
        memory_ = allocate(static_cast<size_t>(count_ * bytes), stream);
      } catch (const std::bad_alloc&) {
        if (count_ == kLeast) throw;
        count_ = std::max(kLeast, count_ / 2);
      }
    }
    for (int64_t place = count_; place-- > 0;) free_.push_back(place);
  }

  int64_t* histograms() const { return static_cast<int64_t*>(memory_.get()); }
  int64_t count() const { return count_; }
  int64_t free() const { return static_cast<int64_t>(free_.size()); }

  int64_t take() {
    const int64_t place = free_.back();
    free_.pop_back();
    return place;
  }
  void give_back(DeviceNode& node) {
    if (node.place != kNowhere) free_.push_back(std::exchange(node.place, kNowhere));
  }

 private:
  int64_t count_ = 0;
  std::shared_ptr<void> memory_;
  std::vector<int64_t> free_;
};

}  // namespace pyllm::bind_cuda
