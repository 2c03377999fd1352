// Which categories go left.
//
// Few categories: each in turn against all others. Many: sorted by gradient / (hessian + smooth),
// for which the best of all partitions is one of the cuts in that order (Fisher 1958; exactly so
// for a convex loss without smoothing), tried from both ends up to a number of categories, with an
// L2 penalty of its own against overfitting. Categories of a few rows would lead that order by
// chance: they stay out of it, on the right, and cuts are tried a group of rows apart (all of this
// as in LightGBM). With vector leaves, in the order of each output. Missing values take part like a
// category; a partition that has them on the left is turned around, so that they go right, where
// categories go that training did not see.
#include "cpu/trees/categories.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>
#include <vector>

namespace pyllm::trees {
namespace {

class Partitions {
 public:
  Partitions(const CategoryColumn& column, const ScanArgs& args, bool one_hot)
      : column_(column), args_(args), rules_(*args.rules), objective_(rules_.objective) {
    for (int32_t o = 0; o < args.outputs; ++o) {
      const auto [g, h] = real(args.totals[o]);
      total_hessian_ += h;
      if (newton()) parent_ += objective_.gain(g, h, objective_.weight(g, h, args.bounds));
    }
    if (!one_hot) objective_.l2 += rules_.category_l2;
  }

  // Gain of sending the categories left whose sums are given; -infinity if it may not be.
  double gain(const std::vector<Pair>& left, int64_t left_rows) const {
    if (column_.rows && (left_rows < args_.min_rows || args_.count - left_rows < args_.min_rows)) {
      return -kInfinity;
    }
    double gain = 0, left_hessian = 0, magnitude = 0;
    for (int32_t o = 0; o < args_.outputs; ++o) {
      const auto [gl, hl] = real(left[o]);
      const auto [gr, hr] = real(args_.totals[o] - left[o]);
      left_hessian += hl;
      if (!newton()) {
        const double mean = -(gl + gr) / (hl + hr);
        const bool poisson = rules_.criterion == Criterion::poisson;
        if (!(hl > 0 && hr > 0) || (poisson && !(gl < 0 && gr < 0))) return -kInfinity;
        gain += likelihood_gain(rules_.criterion, -gl, hl, mean) +
                likelihood_gain(rules_.criterion, -gr, hr, mean);
        magnitude -= gl + gr;
        continue;
      }
      if (!(hl + objective_.l2 > 0 && hr + objective_.l2 > 0)) return -kInfinity;
      gain += objective_.gain(gl, hl, objective_.weight(gl, hl, args_.bounds)) +
              objective_.gain(gr, hr, objective_.weight(gr, hr, args_.bounds));
    }
    const double least =
        std::max(rules_.min_child_weight,
                 static_cast<double>(rules_.least_hessian_sum) * rules_.hessian_unit);
    if (left_hessian < least || total_hessian_ - left_hessian < least) return -kInfinity;
    const double gained = gain - parent_;
    if (newton()) magnitude = gain;
    return gained > rules_.min_gain && gained > 1e-12 * magnitude ? gained : -kInfinity;
  }

  bool newton() const { return rules_.criterion == Criterion::newton; }

  std::pair<double, double> real(Pair sum) const {
    return {static_cast<double>(sum[0]) * rules_.gradient_unit,
            static_cast<double>(sum[1]) * rules_.hessian_unit};
  }

 private:
  const CategoryColumn& column_;
  const ScanArgs& args_;
  const SplitRules& rules_;
  Objective objective_;
  double parent_ = 0, total_hessian_ = 0;
};

// A category, as its position in the column, and the ratio of one output's sums. Ties go by
// position, so that any way of sorting gives the same order.
using Ranked = std::pair<double, int32_t>;

// What a thread needs for a search; kept from node to node.
struct Workspace {
  std::vector<double> rows;     // of each category
  std::vector<int32_t> common;  // categories that may be chosen
  std::vector<Ranked> order;    // of these
  std::vector<Pair> left;       // sums of the first of an order
  std::vector<int32_t> chosen;  // the best categories to send left
};

Workspace& workspace() {
  static thread_local Workspace instance;
  return instance;
}

// How many rows each category has, told from its share of the hessians: histograms hold no counts.
void estimate_rows(const CategoryColumn& column, const ScanArgs& args, std::vector<double>& rows) {
  const auto hessian = [&](const Pair* sums, int64_t stride) {
    double total = 0;
    for (int32_t o = 0; o < args.outputs; ++o) total += static_cast<double>(sums[o * stride][1]);
    return total;
  };
  const double total = hessian(args.totals, 1);
  rows.assign(column.count, 0.0);
  for (int32_t i = 0; total > 0 && i < column.count; ++i) {
    const double share = hessian(column.sums + i, column.stride) / total;
    rows[i] = std::floor(share * static_cast<double>(args.count) + 0.5);
  }
}

void rank(const std::vector<int32_t>& categories, const CategoryColumn& column,
          const Partitions& partitions, int32_t output, double smooth, std::vector<Ranked>& order) {
  order.clear();
  for (const int32_t i : categories) {
    const auto [g, h] = partitions.real(column.sums[i + output * column.stride]);
    order.emplace_back(h + smooth > 0 ? g / (h + smooth) : 0.0, i);
  }
}

}  // namespace

void best_category_split(const CategoryColumn& column, const ScanArgs& args, Split& best) {
  if (column.count < 2) return;
  const SplitRules& rules = *args.rules;
  const bool one_hot = column.bins <= rules.max_onehot;
  const Partitions partitions(column, args, one_hot);
  auto& [rows, common, order, left, chosen] = workspace();
  double highest = -kInfinity;

  estimate_rows(column, args, rows);
  const auto least = static_cast<double>(one_hot ? 0 : rules.min_group_samples);

  // Tries the first 1, 2, ..., most categories of an order.
  const auto try_prefixes = [&](int32_t most) {
    left.assign(args.outputs, Pair{0, 0});
    int64_t left_rows = 0;
    double group = 0, rest = static_cast<double>(args.count);
    int32_t taken = 0;
    for (int32_t n = 1; n <= most; ++n) {
      const int32_t last = order[n - 1].second;
      for (int32_t o = 0; o < args.outputs; ++o) left[o] += column.sums[last + o * column.stride];
      if (column.rows) left_rows += column.rows[last];
      group += rows[last];
      rest -= rows[last];
      if (group < least || rest < least) continue;
      group = 0;
      const double gain = partitions.gain(left, left_rows);
      if (gain > highest) {
        highest = gain;
        taken = n;
      }
    }
    if (taken == 0) return;
    chosen.clear();
    for (int32_t n = 0; n < taken; ++n) chosen.push_back(order[n].second);
  };
  if (one_hot) {
    for (int32_t i = 0; i < column.count; ++i) {
      order.assign(1, {0.0, i});
      try_prefixes(1);
    }
  } else {
    common.clear();
    for (int32_t i = 0; i < column.count; ++i) {
      if (rows[i] >= static_cast<double>(rules.min_category_samples)) common.push_back(i);
    }
    const int32_t most =
        std::min({rules.max_cat_threshold, column.count - 1, static_cast<int32_t>(common.size())});
    for (int32_t o = 0; o < args.outputs; ++o) {
      rank(common, column, partitions, o, rules.category_smooth, order);
      std::partial_sort(order.begin(), order.begin() + most, order.end());
      try_prefixes(most);
      std::partial_sort(order.begin(), order.begin() + most, order.end(), std::greater<>());
      try_prefixes(most);
    }
  }
  if (highest == -kInfinity || highest < best.gain ||
      (highest == best.gain && column.feature >= best.feature)) {
    return;
  }

  const bool missing_chosen = std::any_of(
      chosen.begin(), chosen.end(), [&](int32_t i) { return column.codes[i] == column.bins; });
  std::vector<bool> goes_left(column.count, missing_chosen);
  for (const int32_t i : chosen) goes_left[i] = !missing_chosen;
  best.gain = highest;
  best.feature = column.feature;
  best.bin = 0;
  best.missing_left = false;
  best.saw_missing = true;  // they go right, whether there are any or not
  best.categories.assign(column.bins / 32 + 1, 0);
  best.left.assign(args.outputs, Pair{0, 0});
  for (int32_t i = 0; i < column.count; ++i) {
    if (!goes_left[i]) continue;
    best.categories[column.codes[i] / 32] |= 1u << column.codes[i] % 32;
    for (int32_t o = 0; o < args.outputs; ++o) {
      best.left[o] += column.sums[i + o * column.stride];
    }
  }
}

}  // namespace pyllm::trees
