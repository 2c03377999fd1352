#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "core/isa.h"
#include "cpu/trees/bins.h"
#include "cpu/trees/criterion.h"
#include "cpu/trees/histogram.h"
#include "cpu/trees/sums.h"

namespace pyllm::trees {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// What a leaf's value may be, set by monotone splits above it.
struct Bounds {
  double low = -kInfinity, high = kInfinity;
};

// The objective's regularisation; sums in, weights out. G, H: gradient and hessian sums.
struct Objective {
  double l1 = 0, l2 = 0, max_delta_step = 0;  // max_delta_step 0: no limit

  bool plain() const { return l1 == 0 && max_delta_step == 0; }

  double weight(double g, double h, Bounds bounds = {}) const {
    const double t = g > l1 ? g - l1 : g < -l1 ? g + l1 : 0.0;
    const double d = h + l2;
    double w = d > 0 ? -t / d : 0.0;
    if (max_delta_step > 0)
      w = w > max_delta_step ? max_delta_step : w < -max_delta_step ? -max_delta_step : w;
    return w < bounds.low ? bounds.low : w > bounds.high ? bounds.high : w;
  }

  // How much a leaf of this weight lowers the loss, times two.
  double gain(double g, double h, double w) const {
    const double l1_part = 2.0 * l1 * (w < 0 ? -w : w);
    return -(2.0 * g * w + (h + l2) * w * w + l1_part);
  }
};

struct SplitRules {
  Criterion criterion = Criterion::newton;
  Objective objective;                         // of newton
  double min_gain = 0;                         // a split must gain more
  double min_child_weight = 0;                 // least hessian sum of a child
  double gradient_unit = 1, hessian_unit = 1;  // of the integer sums
  int64_t least_hessian_sum = 0;     // integer sum below which a child surely has too few rows
  const int8_t* monotone = nullptr;  // by feature: 1 rising, -1 falling, 0 free
  double category_smooth = 10, category_l2 = 10;
  int32_t max_cat_threshold = 16, max_onehot = 4;
  int64_t min_category_samples = 20, min_group_samples = 100;
  bool random_cuts = false;  // one a feature, drawn by seed and node
  uint64_t seed = 0;
};

struct Split {
  double gain = -kInfinity;
  int32_t feature = -1;
  int32_t bin = 0;  // codes up to this one go left
  bool missing_left = false;
  bool saw_missing = false;          // some of the node's rows miss the feature
  std::vector<uint32_t> categories;  // bits by code: what goes left; empty: a numerical split
  std::vector<Pair> left;            // sums of the left child, by output

  // The same on every thread count: higher gain, then lower feature.
  bool better_than(const Split& other) const {
    if (gain != other.gain) return gain > other.gain;
    return feature >= 0 && (other.feature < 0 || feature < other.feature);
  }
};

struct ScanArgs {
  const Bins* bins = nullptr;
  FeatureSlice slice;
  Histogram histogram;  // of output 0; the others follow, Bins::total apart
  int32_t outputs = 1;
  const Pair* totals = nullptr;  // by output
  const SplitRules* rules = nullptr;
  Bounds bounds;
  uint64_t key = 0;      // of the node, for random cuts
  int64_t min_rows = 0;  // of a child, checked where counts are at hand
  int64_t count = 0;     // rows of the node
  Histogram counts;      // in the hessian's place; may be absent
};

// Few rows: their histogram would be mostly empty, so only the bins that occur are summed.
constexpr int64_t kFewRows = 128;
struct FewRowsArgs {
  ScanArgs scan;  // but for the histogram
  Packing packing = Packing::bits32;
  const int32_t* rows = nullptr;
  int64_t count = 0;            // at most kFewRows
  const void* words = nullptr;  // (outputs, rows of the data set)
};

}  // namespace pyllm::trees

namespace pyllm {
// The best split of a node on the features of a slice.
PYLLM_KERNEL(tree_best_split, (const trees::ScanArgs& args, trees::Split& best));
// The same split from the rows themselves.
PYLLM_KERNEL(tree_best_split_of_few, (const trees::FewRowsArgs& args, trees::Split& best));
}  // namespace pyllm
