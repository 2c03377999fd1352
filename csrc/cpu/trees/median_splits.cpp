// A node costs the absolute errors of its rows around their median, a split what its children cost.
//
// Medians are no sums, so histograms do not help: for each feature the node's rows are walked from
// the lowest bin to the highest, and back, into a Fenwick tree (Fenwick 1994) over the ranks of
// their targets, which finds the median, and the sums on either side of it, in log n steps. A node
// of n rows takes n log n a feature. The targets are read off the gradients -w y and the hessians
// w.
//
// Categories go in the order of their medians, of each output in turn; for absolute errors no order
// is known that always has the best subset among its cuts. Missing values are a category there, and
// tried on both sides elsewhere.
#include "cpu/trees/median_splits.h"

#include <algorithm>
#include <bit>
#include <numeric>

#include "core/philox.h"
#include "cpu/trees/sampling.h"

namespace pyllm::trees {
namespace {

// The errors of the rows put in so far.
class Errors {
 public:
  explicit Errors(const RankedTargets& targets)
      : targets_(targets),
        size_(static_cast<int32_t>(targets.target.size())),
        top_(static_cast<int32_t>(std::bit_floor(targets.target.size()))),
        weight_(targets.target.size() + 1),
        sum_(targets.target.size() + 1) {}

  void clear() {
    std::fill(weight_.begin(), weight_.end(), 0.0);
    std::fill(sum_.begin(), sum_.end(), 0.0);
    total_ = total_sum_ = 0;
  }

  void put(int32_t row) {
    const int32_t rank = targets_.rank[row];
    const double w = targets_.weight[row], wy = w * targets_.target[rank];
    total_ += w;
    total_sum_ += wy;
    for (int32_t i = rank + 1; i <= size_; i += i & -i) {
      weight_[i] += w;
      sum_[i] += wy;
    }
  }

  double total() const { return total_; }

  // The lowest rank with half of the weight at or below it, and the errors around its target.
  std::pair<int32_t, double> median() const {
    int32_t rank = 0;
    double below = 0, sum_below = 0;
    for (int32_t step = top_; step > 0; step /= 2) {
      const int32_t next = rank + step;
      if (next > size_ || below + weight_[next] >= 0.5 * total_) continue;
      rank = next;
      below += weight_[next];
      sum_below += sum_[next];
    }
    if (rank == size_) return {size_ - 1, 0.0};  // nothing is in
    const double m = targets_.target[rank];
    return {rank, (m * below - sum_below) + (total_sum_ - sum_below) - m * (total_ - below)};
  }

 private:
  const RankedTargets& targets_;
  int32_t size_, top_;
  std::vector<double> weight_, sum_;
  double total_ = 0, total_sum_ = 0;
};

// The rows of a node that share a code.
struct Group {
  int32_t code = 0, begin = 0, end = 0;
};

// What is left and right of the cuts along an order of groups: cut i is after group i.
struct Cuts {
  std::vector<double> error, left_weight;
  std::vector<int64_t> left_rows;
};

class Search {
 public:
  Search(const Shared& shared, const OpenNode& node, const std::vector<RankedTargets>& outputs,
         double error, double weight)
      : shared_(shared), node_(node), outputs_(outputs), error_(error), weight_(weight) {
    for (const RankedTargets& targets : outputs) errors_.emplace_back(targets);
  }

  void look_at(int32_t feature, Split& best) {
    const Feature& f = shared_.input.bins->features[feature];
    group_rows(f);
    if (groups_.size() < 2) return;
    feature_ = feature;
    std::vector<int32_t> order(groups_.size());
    std::iota(order.begin(), order.end(), 0);
    if (f.categorical) {
      for (size_t o = 0; o < outputs_.size(); ++o) try_categories(by_median(o), f, best);
      return;
    }
    const bool missing = groups_.back().code == f.bins;
    const auto count = static_cast<int32_t>(order.size());
    const int32_t kept = shared_.rules.random_cuts ? drawn_cut(count - missing) : -1;
    // Missing values on the right: the last cut parts them from all others. Then on the left.
    try_cuts(order, count - 1, kept, missing, false, best);
    if (!missing) return;
    std::rotate(order.begin(), order.end() - 1, order.end());
    try_cuts(order, count - 1, kept, missing, true, best);
  }

 private:
  void group_rows(const Feature& f) {
    const Bins& bins = *shared_.input.bins;
    const int32_t* rows = shared_.rows.data() + node_.rows.begin;
    const int64_t first = int64_t{f.column} * bins.rows;
    const auto count = static_cast<int32_t>(node_.rows.count);
    order_.resize(count);
    for (int32_t i = 0; i < count; ++i) {
      const int64_t at = first + rows[i];
      const int32_t code = f.code(f.wide ? bins.wide.by_column[at] : bins.narrow.by_column[at]);
      order_[i] = static_cast<uint64_t>(code) << 32 | static_cast<uint32_t>(i);
    }
    std::sort(order_.begin(), order_.end());
    groups_.clear();
    for (int32_t i = 0; i < count; ++i) {
      const auto code = static_cast<int32_t>(order_[i] >> 32);
      if (groups_.empty() || groups_.back().code != code) groups_.push_back({code, i, i});
      groups_.back().end = i + 1;
    }
  }

  int32_t row(int32_t i) const { return static_cast<int32_t>(order_[i] & 0xFFFFFFFFu); }

  // The same draw as of a scan over histograms: the last bin that occurs up to the one drawn.
  int32_t drawn_cut(int32_t numbers) const {
    if (numbers < 2) return 0;
    const auto words = philox(shared_.rules.seed, stream_of(Draw::cut, node_.key),
                              static_cast<uint64_t>(feature_));
    const int32_t low = groups_[0].code;
    const auto span = static_cast<uint64_t>(groups_[numbers - 1].code - low);
    const int32_t code = low + static_cast<int32_t>(words[0] * span >> 32);
    int32_t kept = 0;
    while (kept + 1 < numbers - 1 && groups_[kept + 1].code <= code) ++kept;
    return kept;
  }

  // Puts groups in along an order and adds what they cost.
  template <class Each>
  void walk(size_t output, const std::vector<int32_t>& order, bool backwards, Each&& each) {
    Errors& errors = errors_[output];
    errors.clear();
    const auto count = static_cast<int32_t>(order.size());
    for (int32_t k = 0; k < count - 1; ++k) {
      const Group& group = groups_[order[backwards ? count - 1 - k : k]];
      for (int32_t i = group.begin; i < group.end; ++i) errors.put(row(i));
      each(backwards ? count - 2 - k : k, group, errors);
    }
  }

  void measure(const std::vector<int32_t>& order) {
    cuts_.error.assign(order.size() - 1, 0.0);
    cuts_.left_weight.assign(order.size() - 1, 0.0);
    cuts_.left_rows.assign(order.size() - 1, 0);
    for (size_t o = 0; o < outputs_.size(); ++o) {
      walk(o, order, false, [&](int32_t cut, const Group& group, const Errors& errors) {
        cuts_.error[cut] += errors.median().second;
        cuts_.left_weight[cut] += errors.total();
        cuts_.left_rows[cut] = group.end - group.begin + (cut > 0 ? cuts_.left_rows[cut - 1] : 0);
      });
      walk(o, order, true, [&](int32_t cut, const Group&, const Errors& errors) {
        cuts_.error[cut] += errors.median().second;
      });
    }
  }

  double gain(int32_t cut) const {
    const SplitRules& rules = shared_.rules;
    const int64_t left = cuts_.left_rows[cut];
    const int64_t rows = std::min(left, node_.rows.count - left);
    const double lighter = std::min(cuts_.left_weight[cut], weight_ - cuts_.left_weight[cut]);
    if (rows < shared_.options.min_child_samples) return -kInfinity;
    if (!(lighter > 0) || lighter < rules.min_child_weight) return -kInfinity;
    const double gain = error_ - cuts_.error[cut];
    return gain > rules.min_gain && gain > 1e-12 * error_ ? gain : -kInfinity;
  }

  bool betters(double gain, const Split& best) const {
    return gain > best.gain || (gain == best.gain && gain > -kInfinity && feature_ < best.feature);
  }

  void keep(double gain, bool saw_missing, Split& best) const {
    best.gain = gain;
    best.feature = feature_;
    best.bin = 0;
    best.missing_left = false;
    best.saw_missing = saw_missing;
    best.categories.clear();
    best.left.assign(outputs_.size(), Pair{0, 0});  // no sums: they are not asked for
  }

  void try_cuts(const std::vector<int32_t>& order, int32_t count, int32_t kept, bool missing,
                bool missing_left, Split& best) {
    measure(order);
    for (int32_t cut = missing_left ? 1 : 0; cut < count; ++cut) {
      const int32_t number = order[cut];  // the last group of numbers on the left
      const bool parts_missing = missing && !missing_left && cut == count - 1;
      if (kept >= 0 && number != kept && !parts_missing) continue;
      const double g = gain(cut);
      if (!betters(g, best)) continue;
      keep(g, missing, best);
      best.bin = groups_[number].code;
      best.missing_left = missing_left;
    }
  }

  std::vector<int32_t> by_median(size_t output) {
    std::vector<int32_t> median(groups_.size()), order(groups_.size());
    Errors& errors = errors_[output];
    for (size_t k = 0; k < groups_.size(); ++k) {
      errors.clear();
      for (int32_t i = groups_[k].begin; i < groups_[k].end; ++i) errors.put(row(i));
      median[k] = errors.median().first;
    }
    std::iota(order.begin(), order.end(), 0);
    const std::vector<double>& target = outputs_[output].target;
    std::stable_sort(order.begin(), order.end(),
                     [&](int32_t a, int32_t b) { return target[median[a]] < target[median[b]]; });
    return order;
  }

  void try_categories(const std::vector<int32_t>& order, const Feature& f, Split& best) {
    measure(order);
    for (int32_t cut = 0; cut < static_cast<int32_t>(order.size()) - 1; ++cut) {
      const double g = gain(cut);
      if (!betters(g, best)) continue;
      keep(g, true, best);
      // Missing values go right, where categories go that training did not see.
      const bool turn = std::any_of(order.begin(), order.begin() + cut + 1,
                                    [&](int32_t k) { return groups_[k].code == f.bins; });
      best.categories.assign(f.bins / 32 + 1, 0);
      for (int32_t i = 0; i < static_cast<int32_t>(order.size()); ++i) {
        const int32_t code = groups_[order[i]].code;
        if ((i <= cut) != turn) best.categories[code / 32] |= 1u << code % 32;
      }
    }
  }

  const Shared& shared_;
  const OpenNode& node_;
  const std::vector<RankedTargets>& outputs_;
  const double error_, weight_;
  std::vector<Errors> errors_;   // by output
  std::vector<uint64_t> order_;  // rows of the node by code: code, then row
  std::vector<Group> groups_;
  Cuts cuts_;
  int32_t feature_ = 0;
};

}  // namespace

MedianSplits::MedianSplits(const Shared& shared, const OpenNode& node)
    : shared_(shared), node_(node) {
  const GrowInput& in = shared.input;
  const int32_t* rows = shared.rows.data() + node.rows.begin;
  const auto count = static_cast<int32_t>(node.rows.count);
  for (int32_t o = 0; o < in.outputs; ++o) {
    RankedTargets targets;
    std::vector<double> y(count);
    targets.weight.resize(count);
    for (int32_t i = 0; i < count; ++i) {
      const int64_t at = rows[i] * in.row_stride + o * in.output_stride;
      const double h = in.hessian[at];
      targets.weight[i] = h > 0 ? h : 0;
      y[i] = h > 0 ? -static_cast<double>(in.gradient[at]) / h : 0;
    }
    std::vector<int32_t> order(count);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return y[a] < y[b]; });
    targets.rank.resize(count);
    targets.target.resize(count);
    for (int32_t r = 0; r < count; ++r) {
      targets.rank[order[r]] = r;
      targets.target[r] = y[order[r]];
    }
    Errors errors(targets);
    for (int32_t i = 0; i < count; ++i) errors.put(i);
    error_ += errors.median().second;
    weight_ += errors.total();
    outputs_.push_back(std::move(targets));
  }
}

void MedianSplits::find(const FeatureSlice& slice, Split& best) const {
  if (!(error_ > 0)) return;
  Search search(shared_, node_, outputs_, error_, weight_);
  for (int32_t i = 0; i < slice.count; ++i) search.look_at(slice.features[i], best);
}

}  // namespace pyllm::trees
