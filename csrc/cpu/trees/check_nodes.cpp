#include "cpu/trees/check_nodes.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

#include "core/parallel.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kGrain = 1 << 16;

// In the order in which they are told, one bit each.
enum Fault { kFeature, kOffset, kWords, kManyWords, kEnd, kThreshold, kValue, kGain, kCover };
enum { kNegativeCover = kCover + 1, kNegativeCount };

uint32_t faults_of(const CheckedNodes& nodes, int64_t i) {
  const ForestArrays& f = nodes.forest;
  const int64_t offset = f.category_offset[i], words = f.category_words[i];
  const bool categorical = offset != -1;
  const auto fault = [](bool is, int which) { return uint32_t{is} << which; };
  uint32_t found =
      fault(f.feature[i] < -1 || f.feature[i] >= f.n_features, kFeature) |
      fault(offset < -1 || (categorical && f.feature[i] < 0), kOffset) |
      fault((words > 0) != categorical || words < 0, kWords) |
      fault(words > kMaxCategoryWords, kManyWords) |
      // No sum: a hostile offset could overflow it.
      fault(words > f.n_words || offset > f.n_words - words, kEnd) |
      fault(std::isnan(f.threshold[i]), kThreshold) | fault(!std::isfinite(nodes.gain[i]), kGain) |
      fault(!std::isfinite(nodes.cover[i]), kCover) | fault(nodes.cover[i] < 0, kNegativeCover) |
      fault(nodes.count[i] < 0, kNegativeCount);
  for (int64_t k = i * f.width; k < (i + 1) * f.width; ++k) {
    found |= fault(!std::isfinite(f.value[k]), kValue);
  }
  return found;
}

std::string range_of(const int32_t* values, int64_t count) {
  const auto [least, most] = std::minmax_element(values, values + count);
  return std::to_string(*least) + " to " + std::to_string(*most);
}

NodeFault describe(int which, const ForestArrays& f) {
  switch (which) {
    case kFeature:
      return {"feature", "expected -1 to " + std::to_string(f.n_features - 1) + ", got " +
                             range_of(f.feature, f.n_nodes)};
    case kOffset:
      return {"category_offset", "expected -1 but at categorical splits"};
    case kWords:
      return {"category_words", "expected words at categorical splits, and there only"};
    case kManyWords:
      return {"category_words", "expected at most " + std::to_string(kMaxCategoryWords) + ", got " +
                                    range_of(f.category_words, f.n_nodes)};
    case kEnd:
      return {"category_offset", "expected offset + words <= " + std::to_string(f.n_words) +
                                     ", the length of category_bits"};
    case kThreshold:
      return {"threshold", "expected numbers, got NaN"};
    case kValue:
      return {"value", "expected finite numbers"};
    case kGain:
      return {"gain", "expected finite numbers"};
    case kCover:
      return {"cover", "expected finite numbers"};
    case kNegativeCover:
      return {"cover", "expected no negative numbers"};
    default:
      return {"count", "expected no negative numbers"};
  }
}

}  // namespace

NodeFault check_nodes(const CheckedNodes& nodes) {
  std::atomic<uint32_t> faults{0};
  parallel_for(nodes.forest.n_nodes, kGrain, [&](int64_t begin, int64_t end) {
    uint32_t found = 0;
    for (int64_t i = begin; i < end; ++i) found |= faults_of(nodes, i);
    faults |= found;
  });
  if (faults == 0) return {};
  return describe(std::countr_zero(faults.load()), nodes.forest);
}

}  // namespace pyllm::trees
