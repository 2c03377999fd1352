// Every cut of a feature: the rows' sums are added up by code, and the codes that occur give the
// running sums left of each cut, in the order of the codes.
#pragma once

#include <algorithm>
#include <bit>
#include <utility>
#include <vector>

#include "cpu/simd.h"
#include "cpu/trees/plain_search.h"

namespace pyllm::PYLLM_ISA {

class PlainScan final : public PlainSearch {
 public:
  PlainScan(const Shared& shared, const PlainRows& rows)
      : PlainSearch(shared, rows),
        table_(static_cast<size_t>(kGroup) * kCodes * outputs_),
        row_table_(min_rows_ > 1 ? kGroup * kCodes : 0),
        spare_(static_cast<size_t>(kCodes) * outputs_),
        sums_(static_cast<size_t>(kCodes) * outputs_),
        missing_(outputs_) {}

 private:
  using V = Vec<double>;

  void try_features(const int32_t* features, int32_t count) override {
    int32_t columns[kGroup];
    for (int32_t j = 0; j < count; ++j) columns[j] = features_[features[j]].column;
    std::fill_n(&occurs_[0][0], count * (kCodes / 64), 0);
    with_count(count, [&](auto known) {
      outputs_ == 1 ? add_up<known, true>(columns) : add_up<known, false>(columns);
    });
    for (int32_t j = 0; j < count; ++j) {
      const Feature& f = features_[features[j]];
      cuts_.feature = features[j];
      if (f.bundled()) unbundle(f, j);
      run(f, j);
      try_cuts(cuts_.missing ? cuts_.count : cuts_.count - 1, false);
      if (cuts_.missing) try_cuts(cuts_.count - 1, true);
    }
  }

  // Adds the rows' sums to the tables of some features.
  template <int32_t kFeatures, bool kOneOutput>
  void add_up(const int32_t* columns) {
    int32_t column[kFeatures];
    std::copy_n(columns, kFeatures, column);
    const int64_t outputs = kOneOutput ? 1 : outputs_, stride = rows_.stride;
    const int32_t* const rows = node_.rows;
    const uint8_t* const all_codes = rows_.codes;
    const int64_t* const all_words = rows_.words;
    int64_t* const table = table_.data();
    uint32_t* const row_table = min_rows_ > 1 ? row_table_.data() : nullptr;
    for (int32_t i = 0, count = node_.count; i < count; ++i) {
      const int64_t row = rows[i];
      const uint8_t* codes = all_codes + row * stride;
      const int64_t* words = all_words + row * outputs;
      for (int32_t j = 0; j < kFeatures; ++j) {
        const uint32_t code = codes[column[j]];
        occurs_[j][code / 64] |= uint64_t{1} << code % 64;
        int64_t* sums = table + (j * kCodes + code) * outputs;
        for (int64_t o = 0; o < outputs; ++o) sums[o] += words[o];
      }
      if (!row_table) continue;
      for (int32_t j = 0; j < kFeatures; ++j) ++row_table[j * kCodes + codes[column[j]]];
    }
  }

  // Makes the sums by code of a column those of a bundled feature.
  void unbundle(const Feature& f, int32_t j) {
    uint64_t occurred[kCodes / 64];
    std::copy_n(occurs_[j], kCodes / 64, occurred);
    std::fill_n(occurs_[j], kCodes / 64, 0);
    std::fill_n(spare_.data(), int64_t{f.codes()} * outputs_, 0);
    std::fill_n(spare_rows_, f.codes(), 0);
    int64_t* const table = table_.data() + int64_t{j} * kCodes * outputs_;
    uint32_t* const row_table = min_rows_ > 1 ? row_table_.data() + j * kCodes : nullptr;
    const auto each = [](const uint64_t* codes, auto&& body) {
      for (int32_t w = 0; w < kCodes / 64; ++w) {
        for (uint64_t bits = codes[w]; bits != 0; bits &= bits - 1) {
          body(w * 64 + std::countr_zero(bits));
        }
      }
    };
    each(occurred, [&](int32_t stored) {
      const int32_t code = f.code(stored);
      occurs_[j][code / 64] |= uint64_t{1} << code % 64;
      for (int32_t o = 0; o < outputs_; ++o) {
        spare_[code * outputs_ + o] += std::exchange(table[stored * outputs_ + o], 0);
      }
      if (row_table) spare_rows_[code] += std::exchange(row_table[stored], 0);
    });
    each(occurs_[j], [&](int32_t code) {
      std::copy_n(spare_.data() + code * outputs_, outputs_, table + code * outputs_);
      if (row_table) row_table[code] = spare_rows_[code];
    });
  }

  // Running sums over the codes that occur; leaves the table empty.
  void run(const Feature& f, int32_t j) {
    cuts_.count = 0;
    cuts_.missing = false;
    int64_t rows = 0;
    for (int32_t w = 0; w < kCodes / 64; ++w) {
      for (uint64_t bits = occurs_[j][w]; bits != 0; bits &= bits - 1) {
        const int32_t code = w * 64 + std::countr_zero(bits);
        const int32_t n = cuts_.count;
        int64_t* sums = table_.data() + (int64_t{j} * kCodes + code) * outputs_;
        const bool missing = code == f.bins;
        for (int32_t o = 0; o < outputs_; ++o) {
          int64_t* to = sums_.data() + o * kCodes;
          (missing ? missing_[o] : to[n]) = sums[o] + (missing || n == 0 ? 0 : to[n - 1]);
          cuts_.missing |= missing && sums[o] != 0;
          sums[o] = 0;
        }
        if (min_rows_ > 1) {
          uint32_t& here = row_table_[j * kCodes + code];
          (missing ? cuts_.missing_rows : cuts_.rows[n]) = missing ? here : rows += here;
          here = 0;
        }
        if (missing) continue;
        cuts_.code[n] = static_cast<uint8_t>(code);
        ++cuts_.count;
      }
    }
  }

  // Betters the best by one of the first cuts.
  void try_cuts(int32_t count, bool missing_left) {
    if (count <= 0) return;
    for (int32_t o = 0; o < outputs_; ++o) {
      split_sums(count, o, missing_left);
      add_gains(count, o);
    }
    const double score = highest_gain(count);
    if (!betters(score, cuts_.feature)) return;
    int32_t cut = 0;
    while (gain_[cut] != score) ++cut;
    best_ = {score - parent_, cuts_.feature, cuts_.code[cut], missing_left, cuts_.missing};
    for (int32_t o = 0; o < outputs_; ++o) {
      left_[o] = unpack(sums_[o * kCodes + cut] + (missing_left ? missing_[o] : 0));
    }
  }

  // Sums left of each cut, in units of 1.0, of one output; hessian -1: not to be.
  void split_sums(int32_t count, int32_t o, bool missing_left) {
    const int64_t start = missing_left ? missing_[o] : 0;
    const int64_t* __restrict sums = sums_.data() + o * kCodes;
    for (int32_t i = 0; i < count; ++i) {
      const int64_t word = sums[i] + start;
      const auto hessian = static_cast<int32_t>(word);
      const auto gradient = static_cast<int32_t>((word - hessian) >> 32);
      gradient_[i] = static_cast<double>(gradient) * rules_.gradient_unit;
      hessian_[i] = static_cast<double>(hessian) * rules_.hessian_unit;
    }
    for (int32_t i = count; i < count + V::lanes; ++i) {
      gradient_[i] = 0;
      hessian_[i] = -1;
    }
    if (min_rows_ <= 1) return;
    for (int32_t i = 0; i < count; ++i) {
      const int64_t rows = cuts_.rows[i] + (missing_left ? cuts_.missing_rows : 0);
      if (rows < min_rows_ || node_.count - rows < min_rows_) hessian_[i] = -1;
    }
  }

  // Adds an output's gains to those before it.
  void add_gains(int32_t count, int32_t o) {
    const V l2(rules_.objective.l2);
    const V g(gradient_of(node_.totals[o])), h(hessian_of(node_.totals[o]));
    for (int32_t i = 0; i < count; i += V::lanes) {
      const V gl = load(gradient_ + i), hl = load(hessian_ + i);
      const V gr = g - gl, hr = h - hl;
      const V gain = gl * gl / (hl + l2) + gr * gr / (hr + l2);
      store(gain_ + i, o == 0 ? gain : load(gain_ + i) + gain);
      store(hessian_sum_ + i, o == 0 ? hl : load(hessian_sum_ + i) + hl);
    }
  }

  // The highest gain; those of cuts with a child that is too light are taken away.
  double highest_gain(int32_t count) {
    const V least(least_), total(total_hessian_), none(-kInfinity);
    V highest = none;
    for (int32_t i = 0; i < count; i += V::lanes) {
      const V hl = load(hessian_sum_ + i), gain = load(gain_ + i);
      const auto heavy = (hl >= least) & (total - hl >= least);
      // A child without hessian or l2 gains infinitely or not a number.
      const V kept = select<double>(heavy & (gain < V(kInfinity)), gain, none);
      store(gain_ + i, kept);
      highest = max(kept, highest);
    }
    return reduce(highest, [](double a, double b) { return a > b ? a : b; });
  }

  // The cuts of a feature.
  struct Cuts {
    int32_t feature = 0, count = 0;
    uint8_t code[kCodes];
    int64_t rows[kCodes];  // left of each, where there must be enough
    int64_t missing_rows = 0;
    bool missing = false;  // whether any row misses the feature
  };

  std::vector<int64_t> table_;       // (kGroup, kCodes, outputs), 0 between uses
  std::vector<uint32_t> row_table_;  // (kGroup, kCodes), as well
  uint64_t occurs_[kGroup][kCodes / 64];
  std::vector<int64_t> spare_;  // (kCodes, outputs), of a bundled feature
  uint32_t spare_rows_[kCodes];
  Cuts cuts_;
  std::vector<int64_t> sums_;     // (outputs, kCodes), left of each cut
  std::vector<int64_t> missing_;  // by output
  double gradient_[kCodes + V::lanes], hessian_[kCodes + V::lanes];
  double gain_[kCodes + V::lanes], hessian_sum_[kCodes + V::lanes];
};

}  // namespace pyllm::PYLLM_ISA
