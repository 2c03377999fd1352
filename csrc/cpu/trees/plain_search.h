// The best cut of a node of a plain subtree (plain_subtree.h) over the features it drew, a few
// features at a time: of all cuts (plain_scan.h), or of one at random a feature
// (plain_random_cuts.h). Gains are those of scan.h, operation for operation, and so are ties.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "cpu/trees/feature_draw.h"
#include "cpu/trees/plain_subtree.h"
#include "cpu/trees/sampling.h"
#include "cpu/trees/shared.h"

namespace pyllm::PYLLM_ISA {

using namespace trees;

// The rows of a subtree, numbered from 0.
struct PlainRows {
  const uint8_t* codes = nullptr;  // (rows, stride)
  int64_t stride = 0;
  const int64_t* words = nullptr;  // (rows, outputs), as pack64 does
};

struct PlainNodeRows {
  const int32_t* rows = nullptr;
  int32_t count = 0;
  const Pair* totals = nullptr;  // by output
  uint64_t key = 0;              // what it draws by
};

struct PlainCut {
  double gain = -kInfinity;
  int32_t feature = -1, bin = 0;
  bool missing_left = false, saw_missing = false;
};

class PlainSearch {
 public:
  PlainSearch(const Shared& shared, const PlainRows& rows)
      : rules_(shared.rules),
        features_(shared.input.bins->features),
        min_rows_(shared.options.min_child_samples),
        outputs_(shared.input.outputs),
        rows_(rows),
        least_(std::max(rules_.min_child_weight,
                        static_cast<double>(rules_.least_hessian_sum) * rules_.hessian_unit)),
        left_(outputs_),
        share_(shared.options.share_by_node),
        draw_(shared.choice.of_tree()) {}
  virtual ~PlainSearch() = default;

  // Feature -1: there is nothing to gain.
  PlainCut find(const PlainNodeRows& node) {
    node_ = node;
    best_ = {};
    parent_ = total_hessian_ = 0;
    for (int32_t o = 0; o < outputs_; ++o) {
      const double g = gradient_of(node.totals[o]), h = hessian_of(node.totals[o]);
      parent_ += rules_.objective.gain(g, h, rules_.objective.weight(g, h));
      total_hessian_ += h;
    }
    start();
    const auto& drawn = draw_(share_, rules_.seed, stream_of(Draw::node, node.key));
    const auto count = static_cast<int32_t>(drawn.size());
    for (int32_t first = 0; first < count; first += kGroup) {
      try_features(drawn.data() + first, std::min(kGroup, count - first));
    }
    return best_;
  }

  // Sums of the left child, by output, of the cut that was found last.
  const Pair* left() const { return left_.data(); }

 protected:
  static constexpr int32_t kCodes = 256;
  static constexpr int32_t kGroup = 8;  // features in one pass over the rows

  // Of a node, before its features.
  virtual void start() {}
  // Betters best_ and left_ by cuts of up to kGroup features.
  virtual void try_features(const int32_t* features, int32_t count) = 0;

  double gradient_of(Pair sum) const { return static_cast<double>(sum[0]) * rules_.gradient_unit; }
  double hessian_of(Pair sum) const { return static_cast<double>(sum[1]) * rules_.hessian_unit; }

  bool betters(double score, int32_t feature) const {
    const double gain = score - parent_;
    // Rounding can lift a gain of nothing above zero.
    if (!(gain > rules_.min_gain) || !(gain > 1e-12 * score)) return false;
    return gain > best_.gain || (gain == best_.gain && feature < best_.feature);
  }

  // Calls body with count as a constant.
  template <int32_t kMost = kGroup, class Body>
  static void with_count(int32_t count, Body&& body) {
    if constexpr (kMost > 1) {
      if (count < kMost) return with_count<kMost - 1>(count, body);
    }
    body(std::integral_constant<int32_t, kMost>{});
  }

  const SplitRules& rules_;
  const std::vector<Feature>& features_;
  const int64_t min_rows_;
  const int32_t outputs_;
  const PlainRows rows_;
  const double least_;  // hessian of a child

  PlainNodeRows node_;
  double parent_ = 0, total_hessian_ = 0;
  PlainCut best_;
  std::vector<Pair> left_;  // of the best cut, by output

 private:
  const double share_;
  FeatureDraw draw_;
};

}  // namespace pyllm::PYLLM_ISA
