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

namespace pyllm::PYLLM_ISA {
namespace {

using namespace trees;

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

class Search {
 public:
  Search(const CategoryColumn& column, const ScanArgs& args)
      : column_(column),
        args_(args),
        rules_(*args.rules),
        one_hot_(column.bins <= rules_.max_onehot),
        partitions_(column, args, one_hot_),
        work_(workspace()) {}

  void run() {
    estimate_rows();
    if (one_hot_) {
      for (int32_t i = 0; i < column_.count; ++i) {
        work_.order.assign(1, {0.0, i});
        try_prefixes(1);
      }
      return;
    }
    find_common();
    auto& order = work_.order;
    const int32_t most = std::min(
        {rules_.max_cat_threshold, column_.count - 1, static_cast<int32_t>(work_.common.size())});
    for (int32_t o = 0; o < args_.outputs; ++o) {
      rank(o);
      std::partial_sort(order.begin(), order.begin() + most, order.end());
      try_prefixes(most);
      std::partial_sort(order.begin(), order.begin() + most, order.end(), std::greater<>());
      try_prefixes(most);
    }
  }

  bool betters(const Split& best) const {
    return highest_ > best.gain ||
           (highest_ == best.gain && highest_ > -kInfinity && column_.feature < best.feature);
  }

  void write(Split& best) const {
    const bool missing_chosen =
        std::any_of(work_.chosen.begin(), work_.chosen.end(),
                    [&](int32_t i) { return column_.codes[i] == column_.bins; });
    std::vector<bool> goes_left(column_.count, missing_chosen);
    for (const int32_t i : work_.chosen) goes_left[i] = !missing_chosen;
    best.gain = highest_;
    best.feature = column_.feature;
    best.bin = 0;
    best.missing_left = false;
    best.saw_missing = true;  // they go right, whether there are any or not
    best.categories.assign(column_.bins / 32 + 1, 0);
    best.left.assign(args_.outputs, Pair{0, 0});
    for (int32_t i = 0; i < column_.count; ++i) {
      if (!goes_left[i]) continue;
      best.categories[column_.codes[i] / 32] |= 1u << column_.codes[i] % 32;
      for (int32_t o = 0; o < args_.outputs; ++o) best.left[o] += sum(i, o);
    }
  }

 private:
  Pair sum(int32_t category, int32_t output) const {
    return column_.sums[category + output * column_.stride];
  }

  // How many rows each category has, told from its share of the hessians: histograms hold no
  // counts.
  void estimate_rows() {
    const int32_t count = column_.count;
    work_.rows.assign(count, 0.0);
    double* const rows = work_.rows.data();
    double total = 0;
    for (int32_t o = 0; o < args_.outputs; ++o) {
      total += static_cast<double>(args_.totals[o][1]);
      for (int32_t i = 0; i < count; ++i) rows[i] += static_cast<double>(sum(i, o)[1]);
    }
    const auto all = static_cast<double>(args_.count);
    for (int32_t i = 0; i < count; ++i) {
      rows[i] = total > 0 ? std::floor(rows[i] / total * all + 0.5) : 0.0;
    }
  }

  void find_common() {
    const auto least = static_cast<double>(rules_.min_category_samples);
    work_.common.resize(column_.count);
    int32_t count = 0;
    for (int32_t i = 0; i < column_.count; ++i) {
      work_.common[count] = i;
      count += work_.rows[i] >= least ? 1 : 0;
    }
    work_.common.resize(count);
  }

  void rank(int32_t output) {
    const auto count = static_cast<int32_t>(work_.common.size());
    work_.order.resize(count);
    for (int32_t n = 0; n < count; ++n) {
      const int32_t i = work_.common[n];
      const auto [g, h] = partitions_.real(sum(i, output));
      const double smoothed = h + rules_.category_smooth;
      work_.order[n] = {smoothed > 0 ? g / smoothed : 0.0, i};
    }
  }

  // Tries the first 1, 2, ..., most categories of the order.
  void try_prefixes(int32_t most) {
    const auto least = static_cast<double>(one_hot_ ? 0 : rules_.min_group_samples);
    work_.left.assign(args_.outputs, Pair{0, 0});
    int64_t left_rows = 0;
    double group = 0, rest = static_cast<double>(args_.count);
    int32_t taken = 0;
    for (int32_t n = 1; n <= most; ++n) {
      const int32_t last = work_.order[n - 1].second;
      for (int32_t o = 0; o < args_.outputs; ++o) work_.left[o] += sum(last, o);
      if (column_.rows) left_rows += column_.rows[last];
      group += work_.rows[last];
      rest -= work_.rows[last];
      if (group < least || rest < least) continue;
      group = 0;
      const double gain = partitions_.gain(work_.left, left_rows);
      if (gain > highest_) {
        highest_ = gain;
        taken = n;
      }
    }
    if (taken == 0) return;
    work_.chosen.clear();
    for (int32_t n = 0; n < taken; ++n) work_.chosen.push_back(work_.order[n].second);
  }

  const CategoryColumn& column_;
  const ScanArgs& args_;
  const SplitRules& rules_;
  const bool one_hot_;
  const Partitions partitions_;
  Workspace& work_;
  double highest_ = -kInfinity;
};

}  // namespace

void best_category_split(const CategoryColumn& column, const ScanArgs& args, Split& best) {
  if (column.count < 2) return;
  Search search(column, args);
  search.run();
  if (search.betters(best)) search.write(best);
}

}  // namespace pyllm::PYLLM_ISA
