// The best split of a node, by a scan over its histogram.
//
// For each feature the sums left of every cut are running sums of the bins, exact in integers. The
// gain of a cut is score(left) + score(right) - score(node), score(G, H) = T(G)^2 / (H + l2) with T
// the soft threshold by l1 (Chen and Guestrin 2016, equation 7, without the factor 1/2); with
// vector leaves it is summed over outputs. Missing values are tried on both sides.
//
// Compiled without contraction to fused multiply-adds, each lane computes what a scalar would: the
// same gains on every instruction set. Ties go to the lower feature, then the lower bin.
#include "cpu/trees/split.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

using namespace trees;
using V = Vec<double>;

// Running sums left of each cut of a feature, in units of 1.0.
struct Cuts {
  explicit Cuts(int64_t codes)
      : gradient(codes + V::lanes), hessian(codes + V::lanes), gain(codes + V::lanes) {}
  Scratch<double> gradient, hessian, gain;
};

template <class Word>
void running_sums(const Word* sums, int64_t cuts, Pair start, const SplitRules& rules, Cuts& out) {
  Pair sum = start;
  for (int64_t i = 0; i < cuts; ++i) {
    sum += unpack(sums[i]);
    out.gradient[i] = static_cast<double>(sum[0]);
    out.hessian[i] = static_cast<double>(sum[1]);
  }
  for (int64_t i = 0; i < cuts; ++i) {
    out.gradient[i] *= rules.gradient_unit;
    out.hessian[i] *= rules.hessian_unit;
  }
}

// Adds the gain of each cut of one output.
void add_plain_gains(int64_t cuts, double g, double h, double l2, Cuts& c) {
  for (int64_t i = 0; i < cuts; i += V::lanes) {
    const V gl = load(c.gradient.data() + i), hl = load(c.hessian.data() + i);
    const V gr = V(g) - gl, hr = V(h) - hl;
    const V gain = gl * gl / (hl + V(l2)) + gr * gr / (hr + V(l2));
    store(c.gain.data() + i, load(c.gain.data() + i) + gain);
  }
}

void add_gains(int64_t cuts, double g, double h, const Objective& objective, Bounds bounds,
               int monotone, Cuts& c) {
  for (int64_t i = 0; i < cuts; ++i) {
    const double gl = c.gradient[i], hl = c.hessian[i], gr = g - gl, hr = h - hl;
    const double wl = objective.weight(gl, hl, bounds), wr = objective.weight(gr, hr, bounds);
    const bool wrong_way = monotone > 0 ? wl > wr : monotone < 0 && wl < wr;
    const double gain = objective.gain(gl, hl, wl) + objective.gain(gr, hr, wr);
    c.gain[i] += wrong_way ? -kInfinity : gain;
  }
}

class Scan {
 public:
  explicit Scan(const ScanArgs& args) : args_(args), rules_(*args.rules) {
    int32_t most = 0;
    for (int32_t i = 0; i < args.slice.count; ++i) {
      most = std::max(most, args.bins->features[args.slice.features[i]].codes());
    }
    cuts_ = Cuts(most);
    hessian_ = Scratch<double>(most + V::lanes);
    plain_ =
        rules_.objective.plain() && args.bounds.low == -kInfinity && args.bounds.high == kInfinity;
    for (int32_t o = 0; o < args.outputs; ++o) {
      const double g = total_gradient(o), h = total_hessian(o);
      parent_ += rules_.objective.gain(g, h, rules_.objective.weight(g, h, args.bounds));
      total_hessian_ += h;
    }
  }

  void look_at(int32_t feature, Split& best) {
    const Feature& f = args_.bins->features[feature];
    bool missing = false;
    if (f.missing) {
      for (int32_t o = 0; o < args_.outputs; ++o) {
        const Pair m = at(f.offset + f.bins, o);
        missing = missing || m[0] != 0 || m[1] != 0;
      }
    }
    // With missing values on the right, the last cut parts them from all others.
    try_cuts(feature, missing ? f.bins : f.bins - 1, false, missing, best);
    if (missing) try_cuts(feature, f.bins - 1, true, true, best);
  }

 private:
  double total_gradient(int32_t o) const {
    return static_cast<double>(args_.totals[o][0]) * rules_.gradient_unit;
  }
  double total_hessian(int32_t o) const {
    return static_cast<double>(args_.totals[o][1]) * rules_.hessian_unit;
  }

  Pair at(int64_t bin, int32_t output) const {
    return with_word(args_.histogram.packing, [&](auto word) {
      return unpack(static_cast<const decltype(word)*>(
          args_.histogram.sums)[bin + output * args_.bins->total]);
    });
  }

  void try_cuts(int32_t feature, int64_t cuts, bool missing_left, bool saw_missing, Split& best) {
    if (cuts <= 0) return;
    const Feature& f = args_.bins->features[feature];
    const int monotone = rules_.monotone ? rules_.monotone[feature] : 0;
    std::fill_n(cuts_.gain.data(), cuts + V::lanes, 0.0);
    std::fill_n(hessian_.data(), cuts + V::lanes, 0.0);
    for (int32_t o = 0; o < args_.outputs; ++o) {
      const Pair start = missing_left ? at(f.offset + f.bins, o) : Pair{0, 0};
      with_word(args_.histogram.packing, [&](auto word) {
        const auto* sums = static_cast<const decltype(word)*>(args_.histogram.sums);
        running_sums(sums + f.offset + o * args_.bins->total, cuts, start, rules_, cuts_);
      });
      if (plain_ && monotone == 0) {
        add_plain_gains(cuts, total_gradient(o), total_hessian(o), rules_.objective.l2, cuts_);
      } else {
        add_gains(cuts, total_gradient(o), total_hessian(o), rules_.objective, args_.bounds,
                  monotone, cuts_);
      }
      for (int64_t i = 0; i < cuts; ++i) hessian_[i] += cuts_.hessian[i];
    }
    const int64_t cut = best_cut(cuts);
    if (cut < 0) return;
    const double gain = cuts_.gain[cut] - parent_;
    // Rounding can lift a gain of nothing above zero.
    if (!(gain > rules_.min_gain) || !(gain > 1e-12 * cuts_.gain[cut])) return;
    Split split;
    split.gain = gain;
    split.feature = feature;
    if (!split.better_than(best)) return;
    split.bin = static_cast<int32_t>(cut);
    split.missing_left = missing_left;
    split.saw_missing = saw_missing;
    for (int32_t o = 0; o < args_.outputs; ++o) {
      Pair left = missing_left ? at(f.offset + f.bins, o) : Pair{0, 0};
      for (int64_t b = 0; b <= cut; ++b) left += at(f.offset + b, o);
      split.left.push_back(left);
    }
    best = std::move(split);
  }

  // The first of the highest gains where both children are heavy enough; -1 if there is none.
  int64_t best_cut(int64_t cuts) const {
    const double least =
        std::max(rules_.min_child_weight,
                 static_cast<double>(rules_.least_hessian_sum) * rules_.hessian_unit);
    V best(-kInfinity);
    const auto gain_at = [&](int64_t i) {
      const V hl = load(hessian_.data() + i);
      const V gain = load(cuts_.gain.data() + i);
      const auto heavy = (hl >= V(least)) & (V(total_hessian_) - hl >= V(least));
      // A child without hessian or l2 gains infinitely or not a number.
      return select<double>(heavy & (gain < V(kInfinity)), gain, V(-kInfinity));
    };
    for (int64_t i = cuts; i < cuts + V::lanes; ++i) cuts_.gain[i] = -kInfinity;
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
  Cuts cuts_{0};
  Scratch<double> hessian_;
  bool plain_ = false;
  double parent_ = 0, total_hessian_ = 0;
};

}  // namespace

void tree_best_split(const ScanArgs& args, Split& best) {
  Scan scan(args);
  for (int32_t i = 0; i < args.slice.count; ++i) scan.look_at(args.slice.features[i], best);
}

}  // namespace pyllm::PYLLM_ISA
