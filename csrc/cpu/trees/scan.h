// The best cut of one feature in a node, by a scan over the sums of its bins.
//
// The sums left of every cut are running sums of the bins, exact in integers. The gain of a cut is
// score(left) + score(right) - score(node), score(G, H) = T(G)^2 / (H + l2) with T the soft
// threshold by l1 (Chen and Guestrin 2016, equation 7, without the factor 1/2); with vector leaves
// it is summed over outputs; criterion.h has the gains that are likelihoods. Missing values are
// tried on both sides.
//
// Compiled without contraction to fused multiply-adds, each lane computes what a scalar would: the
// same gains on every instruction set. Ties go to the lower feature, then to missing values on the
// right, then to the lower bin.
#pragma once

#include <algorithm>
#include <tuple>
#include <vector>

#include "core/philox.h"
#include "cpu/simd.h"
#include "cpu/trees/sampling.h"
#include "cpu/trees/split.h"

namespace pyllm::PYLLM_ISA {

using namespace trees;

// Cuts of features that share a column, in the order of its codes.
struct CutBatch {
  std::vector<int32_t> feature, first;  // a feature, and the first of its cuts
  int64_t count = 0, capacity = 0;      // of cuts
  std::tuple<std::vector<int32_t>, std::vector<int64_t>, std::vector<Pair>> sums;

  void start(int64_t cuts) {
    feature.clear();
    first.clear();
    count = 0;
    capacity = cuts;
  }

  // Sums left of each cut, (outputs, capacity), packed as the histogram is.
  template <class Word>
  Word* left(int32_t outputs) {
    auto& words = std::get<std::vector<Word>>(sums);
    if (words.size() < static_cast<size_t>(capacity * outputs)) words.resize(capacity * outputs);
    return words.data();
  }
};

// What a thread needs for a scan; kept from node to node.
struct ScanWorkspace {
  std::vector<double> gradient, hessian, gain, hessian_sum;
  std::vector<Pair> sums, unbundled;
  std::vector<int32_t> codes;
  std::vector<int64_t> counts;
  CutBatch batch;

  void reserve(size_t cuts) {
    const size_t padded = cuts + Vec<double>::lanes;
    if (gradient.size() >= padded) return;
    for (auto* v : {&gradient, &hessian, &gain, &hessian_sum}) v->resize(padded);
  }
};

inline ScanWorkspace& scan_workspace() {
  static thread_local ScanWorkspace instance;
  return instance;
}

// The bins of one feature in one node.
template <class Word>
struct ScanColumn {
  int32_t feature = 0;
  const Word* sums = nullptr;       // of output 0
  int64_t output_stride = 0;        // to the next output's
  int32_t bins = 0;                 // without missing values
  const int32_t* codes = nullptr;   // of the bins; null: 0, 1, ...
  const Word* missing = nullptr;    // null where no row misses the feature
  const int64_t* counts = nullptr;  // rows by bin, then of missing values; may be null

  int32_t code(int64_t bin) const { return codes ? codes[bin] : static_cast<int32_t>(bin); }
};

class Scan {
  using V = Vec<double>;

 public:
  explicit Scan(const ScanArgs& args) : args_(args), rules_(*args.rules), work_(scan_workspace()) {
    plain_ =
        rules_.objective.plain() && args.bounds.low == -kInfinity && args.bounds.high == kInfinity;
    for (int32_t o = 0; o < args.outputs; ++o) {
      const double g = total_gradient(o), h = total_hessian(o);
      total_hessian_ += h;
      if (newton_) {
        parent_ += rules_.objective.gain(g, h, rules_.objective.weight(g, h, args.bounds));
      } else {
        magnitude_ -= g;
      }
    }
  }

  template <class Word>
  void look_at(const ScanColumn<Word>& column, Split& best) {
    work_.reserve(column.bins);
    // With missing values on the right, the last cut parts them from all others.
    try_cuts(column, column.missing ? column.bins : column.bins - 1, false, best);
    if (column.missing) try_cuts(column, column.bins - 1, true, best);
  }

  // Of features without missing values or monotone constraints.
  template <class Word>
  void look_at(CutBatch& batch, Split& best) {
    const int64_t cuts = batch.count;
    if (cuts == 0) return;
    work_.reserve(cuts);
    const Word* const sums = batch.left<Word>(args_.outputs);
    const auto convert = [&](int32_t o) {
      const Word* left = sums + o * batch.capacity;
      double* gradient = work_.gradient.data();
      double* hessian = work_.hessian.data();
      for (int64_t i = 0; i < cuts; ++i) {
        const Pair sum = unpack(left[i]);
        gradient[i] = static_cast<double>(sum[0]) * rules_.gradient_unit;
        hessian[i] = static_cast<double>(sum[1]) * rules_.hessian_unit;
      }
    };
    sum_gains(cuts, 0, convert);
    const int64_t cut = best_cut(cuts);
    if (cut < 0) return;
    const auto at = std::upper_bound(batch.first.begin(), batch.first.end(), cut) - 1;
    if (!takes_over(cut, batch.feature[at - batch.first.begin()], best)) return;
    best.bin = static_cast<int32_t>(cut) - *at;
    best.missing_left = best.saw_missing = false;
    for (int32_t o = 0; o < args_.outputs; ++o) {
      best.left[o] = unpack(sums[o * batch.capacity + cut]);
    }
  }

 private:
  double total_gradient(int32_t o) const {
    return static_cast<double>(args_.totals[o][0]) * rules_.gradient_unit;
  }
  double total_hessian(int32_t o) const {
    return static_cast<double>(args_.totals[o][1]) * rules_.hessian_unit;
  }

  template <class Word>
  void try_cuts(const ScanColumn<Word>& column, int64_t cuts, bool missing_left, Split& best) {
    if (cuts <= 0) return;
    const int monotone = rules_.monotone ? rules_.monotone[column.feature] : 0;
    sum_gains(cuts, monotone, [&](int32_t o) { running_sums(column, cuts, missing_left, o); });
    if (column.counts) leave_enough_rows(column.counts, column.bins, cuts, missing_left);
    if (rules_.random_cuts) keep_one_cut(column, cuts);
    const int64_t cut = best_cut(cuts);
    if (cut < 0 || !takes_over(cut, column.feature, best)) return;
    best.bin = column.code(cut);
    best.missing_left = missing_left;
    best.saw_missing = column.missing != nullptr;
    for (int32_t o = 0; o < args_.outputs; ++o) {
      best.left[o] = start(column, missing_left, o);
      const Word* sums = column.sums + o * column.output_stride;
      for (int64_t b = 0; b <= cut; ++b) best.left[o] += unpack(sums[b]);
    }
  }

  // Adds up the gains of cuts over outputs; running_sums(o) gives the sums left of them.
  template <class RunningSums>
  void sum_gains(int64_t cuts, int monotone, RunningSums&& running_sums) {
    std::fill_n(work_.gain.data(), cuts + V::lanes, 0.0);
    for (int32_t o = 0; o < args_.outputs; ++o) {
      running_sums(o);
      if (!newton_) {
        add_likelihoods(cuts, total_gradient(o), total_hessian(o), monotone);
      } else if (plain_ && monotone == 0) {
        add_plain_gains(cuts, total_gradient(o), total_hessian(o));
      } else {
        add_gains(cuts, total_gradient(o), total_hessian(o), monotone);
      }
      if (args_.outputs == 1) break;
      if (o == 0) std::fill_n(work_.hessian_sum.data(), cuts + V::lanes, 0.0);
      for (int64_t i = 0; i < cuts; ++i) work_.hessian_sum[i] += work_.hessian[i];
    }
  }

  // Whether a cut betters the best split; if so, that is of this feature from now on.
  bool takes_over(int64_t cut, int32_t feature, Split& best) const {
    const double gain = work_.gain[cut] - parent_;
    // Rounding can lift a gain of nothing above zero.
    const double magnitude = newton_ ? work_.gain[cut] : magnitude_;
    if (!(gain > rules_.min_gain) || !(gain > 1e-12 * magnitude)) return false;
    if (gain < best.gain || (gain == best.gain && feature >= best.feature)) return false;
    best.gain = gain;
    best.feature = feature;
    best.categories.clear();
    best.left.resize(args_.outputs);
    return true;
  }

  template <class Word>
  static Pair start(const ScanColumn<Word>& column, bool missing_left, int32_t o) {
    return missing_left ? unpack(column.missing[o * column.output_stride]) : Pair{0, 0};
  }

  // Sums left of each cut, in units of 1.0.
  template <class Word>
  void running_sums(const ScanColumn<Word>& column, int64_t cuts, bool missing_left, int32_t o) {
    const Word* sums = column.sums + o * column.output_stride;
    Pair sum = start(column, missing_left, o);
    for (int64_t i = 0; i < cuts; ++i) {
      sum += unpack(sums[i]);
      work_.gradient[i] = static_cast<double>(sum[0]) * rules_.gradient_unit;
      work_.hessian[i] = static_cast<double>(sum[1]) * rules_.hessian_unit;
    }
  }

  // Adds the gain of each cut for one output.
  void add_plain_gains(int64_t cuts, double g, double h) {
    const V l2(rules_.objective.l2);
    for (int64_t i = 0; i < cuts; i += V::lanes) {
      const V gl = load(work_.gradient.data() + i), hl = load(work_.hessian.data() + i);
      const V gr = V(g) - gl, hr = V(h) - hl;
      const V gain = gl * gl / (hl + l2) + gr * gr / (hr + l2);
      store(work_.gain.data() + i, load(work_.gain.data() + i) + gain);
    }
  }

  void add_gains(int64_t cuts, double g, double h, int monotone) {
    const Objective& objective = rules_.objective;
    for (int64_t i = 0; i < cuts; ++i) {
      const double gl = work_.gradient[i], hl = work_.hessian[i], gr = g - gl, hr = h - hl;
      const double wl = objective.weight(gl, hl, args_.bounds);
      const double wr = objective.weight(gr, hr, args_.bounds);
      const bool wrong_way = monotone > 0 ? wl > wr : monotone < 0 && wl < wr;
      const bool empty = !(hl + objective.l2 > 0 && hr + objective.l2 > 0);
      const double gain = objective.gain(gl, hl, wl) + objective.gain(gr, hr, wr);
      work_.gain[i] += wrong_way || empty ? -kInfinity : gain;
    }
  }

  void add_likelihoods(int64_t cuts, double g, double h, int monotone) {
    const double mean = -g / h;
    for (int64_t i = 0; i < cuts; ++i) {
      const double sl = -work_.gradient[i], hl = work_.hessian[i], sr = -g - sl, hr = h - hl;
      const double gain = likelihood_gain(rules_.criterion, sl, hl, mean) +
                          likelihood_gain(rules_.criterion, sr, hr, mean);
      work_.gain[i] += may_part(sl, hl, sr, hr, monotone) ? gain : -kInfinity;
    }
  }

  bool may_part(double sl, double hl, double sr, double hr, int monotone) const {
    if (!(hl > 0 && hr > 0)) return false;
    if (rules_.criterion == Criterion::poisson && !(sl > 0 && sr > 0)) return false;
    if (monotone == 0) return true;  // values beyond the bounds are clipped in the end
    const Bounds bounds = args_.bounds;
    const double left = sl / hl, right = sr / hr;
    const bool inside =
        left >= bounds.low && left <= bounds.high && right >= bounds.low && right <= bounds.high;
    return inside && (monotone > 0 ? left <= right : left >= right);
  }

  void leave_enough_rows(const int64_t* counts, int64_t bins, int64_t cuts, bool missing_left) {
    int64_t left = missing_left ? counts[bins] : 0;
    for (int64_t i = 0; i < cuts; ++i) {
      left += counts[i];
      if (left < args_.min_rows || args_.count - left < args_.min_rows) work_.gain[i] = -kInfinity;
    }
  }

  // ExtraTrees (Geurts et al. 2006): one cut between the least and the greatest bin that occur.
  template <class Word>
  void keep_one_cut(const ScanColumn<Word>& column, int64_t cuts) {
    const auto occurs = [&](int64_t bin) {
      for (int32_t o = 0; o < args_.outputs; ++o) {
        const Pair sum = unpack(column.sums[bin + o * column.output_stride]);
        if (sum[0] != 0 || sum[1] != 0) return true;
      }
      return false;
    };
    int64_t first = 0, last = column.bins - 1;
    while (first < last && !occurs(first)) ++first;
    while (last > first && !occurs(last)) --last;
    const auto words =
        philox(rules_.seed, stream_of(Draw::cut, args_.key), static_cast<uint64_t>(column.feature));
    const auto span = static_cast<uint64_t>(column.code(last) - column.code(first));
    const int64_t code = column.code(first) + static_cast<int64_t>(words[0] * span >> 32);
    int64_t kept = first;  // the last bin that occurs up to the code that was drawn
    for (int64_t i = first; i < last && column.code(i) <= code; ++i) {
      if (occurs(i)) kept = i;
    }
    for (int64_t i = 0; i < cuts; ++i) {
      // Parting missing values from the others is no cut that could be drawn.
      const bool parts_missing = column.missing && i == column.bins - 1;
      if (i != kept && !parts_missing) work_.gain[i] = -kInfinity;
    }
  }

  // The first of the highest gains where both children are heavy enough; -1 if there is none.
  int64_t best_cut(int64_t cuts) {
    const double least =
        std::max(rules_.min_child_weight,
                 static_cast<double>(rules_.least_hessian_sum) * rules_.hessian_unit);
    const double* hessian = (args_.outputs == 1 ? work_.hessian : work_.hessian_sum).data();
    const auto gain_at = [&](int64_t i) {
      const V hl = load(hessian + i);
      const V gain = load(work_.gain.data() + i);
      const auto heavy = (hl >= V(least)) & (V(total_hessian_) - hl >= V(least));
      // A child without hessian or l2 gains infinitely or not a number.
      return select<double>(heavy & (gain < V(kInfinity)), gain, V(-kInfinity));
    };
    std::fill_n(work_.gain.data() + cuts, V::lanes, -kInfinity);
    V best(-kInfinity);
    for (int64_t i = 0; i < cuts; i += V::lanes) best = max(gain_at(i), best);
    const double highest = reduce(best, [](double a, double b) { return a > b ? a : b; });
    if (highest == -kInfinity) return -1;
    for (int64_t i = 0; i < cuts; i += V::lanes) {
      const V gain = gain_at(i);
      for (int64_t k = 0; k < V::lanes; ++k) {
        if (gain[k] == highest) return i + k;
      }
    }
    return -1;
  }

  const ScanArgs& args_;
  const SplitRules& rules_;
  ScanWorkspace& work_;
  bool newton_ = rules_.criterion == Criterion::newton, plain_ = false;
  double parent_ = 0, magnitude_ = 0, total_hessian_ = 0;
};

// Whether all outputs' sums are 0.
template <class Word>
bool all_zero(const Word* sum, int64_t stride, int32_t outputs) {
  for (int32_t o = 0; o < outputs; ++o) {
    const Pair p = unpack(sum[o * stride]);
    if (p[0] != 0 || p[1] != 0) return false;
  }
  return true;
}

}  // namespace pyllm::PYLLM_ISA
