// Where a feature's values are cut into bins.
//
// With at most max_bin distinct values, between any two. Else values heavier than an even share get
// a bin of their own, and the others are spread evenly, greedily, over the bins that are left: a
// bin closes when it comes nearest to its share of what is left.
#include <algorithm>
#include <cmath>

#include "cpu/trees/binning.h"

namespace pyllm::trees {
namespace {

// Between two distinct values, a itself where rounding or infinity leaves nothing between them.
double between(double a, double b) {
  const double middle = a / 2 + b / 2;
  return middle > a && middle < b && std::isfinite(middle) ? middle : a;
}

}  // namespace

std::vector<double> quantile_cuts(const double* values, const double* weights, int64_t n,
                                  int32_t max_bin) {
  std::vector<double> distinct, weight, cuts;
  double light = 0;  // weight of the values that are not heavy and not yet in a bin
  for (int64_t i = 0; i < n; ++i) {
    const double w = weights ? weights[i] : 1.0;
    if (distinct.empty() || values[i] != distinct.back()) {
      distinct.push_back(values[i]);
      weight.push_back(0);
    }
    weight.back() += w;
    light += w;
  }
  const auto count = static_cast<int64_t>(distinct.size());
  if (count <= max_bin) {
    for (int64_t i = 0; i + 1 < count; ++i) cuts.push_back(between(distinct[i], distinct[i + 1]));
    return cuts;
  }
  // Heavy values first: taking one out lowers the share of the others.
  std::vector<bool> heavy(count);
  int64_t heavies = 0;
  for (bool found = true; found && heavies < max_bin - 1;) {
    found = false;
    const double share = light / static_cast<double>(max_bin - heavies);
    for (int64_t i = 0; i < count && heavies < max_bin - 1; ++i) {
      if (heavy[i] || weight[i] < share) continue;
      heavy[i] = found = true;
      light -= weight[i];
      ++heavies;
    }
  }
  double in_bin = 0;
  for (int64_t i = 0; i + 1 < count; ++i) {
    const auto bins_left = max_bin - static_cast<int64_t>(cuts.size());
    if (bins_left == 1) break;
    in_bin += weight[i];
    if (!heavy[i] && !heavy[i + 1]) {
      const double share = light / static_cast<double>(std::max<int64_t>(bins_left - heavies, 1));
      const bool enough = count - i <= bins_left;  // a bin for each value that is left
      if (!enough && in_bin + weight[i + 1] / 2 < share) continue;
    }
    cuts.push_back(between(distinct[i], distinct[i + 1]));
    if (heavy[i]) {
      --heavies;
    } else {
      light -= in_bin;
    }
    in_bin = 0;
  }
  return cuts;
}

}  // namespace pyllm::trees
