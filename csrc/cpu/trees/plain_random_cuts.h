// One cut of a feature at random (Geurts et al. 2006), between the least and the greatest code that
// occur: it takes no table, only one sum over the rows.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "core/philox.h"
#include "cpu/trees/plain_search.h"

namespace pyllm::PYLLM_ISA {

class PlainRandomCuts final : public PlainSearch {
 public:
  PlainRandomCuts(const Shared& shared, const PlainRows& rows)
      : PlainSearch(shared, rows),
        tried_(outputs_),
        words_(static_cast<size_t>(outputs_) * kSubtreeRows) {}

 private:
  // The node's sums side by side, by output.
  void start() override {
    for (int32_t o = 0; o < outputs_; ++o) {
      int64_t* to = words_.data() + int64_t{o} * kSubtreeRows;
      const int64_t* from = rows_.words + o;
      for (int32_t i = 0, n = node_.count; i < n; ++i) {
        to[i] = from[int64_t{node_.rows[i]} * outputs_];
      }
    }
  }

  void try_features(const int32_t* features, int32_t count) override {
    int32_t columns[kGroup];
    for (int32_t j = 0; j < count; ++j) columns[j] = features_[features[j]].column;
    with_count(count, [&](auto known) { copy_codes<known>(columns); });
    for (int32_t j = 0; j < count; ++j) {
      const Feature& f = features_[features[j]];
      for (int32_t i = 0; i < node_.count && f.bundled(); ++i) {
        codes_[j][i] = static_cast<uint8_t>(f.code(codes_[j][i]));
      }
      try_feature(features[j], codes_[j]);
    }
  }

  template <int32_t kFeatures>
  void copy_codes(const int32_t* columns) {
    int32_t column[kFeatures];
    std::copy_n(columns, kFeatures, column);
    const int32_t* const rows = node_.rows;
    const uint8_t* const all = rows_.codes;
    const int64_t stride = rows_.stride;
    uint8_t (*const to)[kSubtreeRows] = codes_;
    for (int32_t i = 0, n = node_.count; i < n; ++i) {
      const uint8_t* codes = all + rows[i] * stride;
      for (int32_t j = 0; j < kFeatures; ++j) to[j][i] = codes[column[j]];
    }
  }

  // One cut between the least and the greatest code that occur.
  void try_feature(int32_t feature, const uint8_t* codes) {
    uint8_t least = kCodes - 1, greatest = 0;
    for (int32_t i = 0, n = node_.count; i < n; ++i) {
      least = std::min(least, codes[i]);
      greatest = std::max(greatest, codes[i]);
    }
    const Feature& f = features_[feature];
    const bool missing = f.missing && greatest == f.bins;
    if (missing) {
      if (least == f.bins) return;
      greatest = 0;
      for (int32_t i = 0; i < node_.count; ++i) {
        greatest = std::max<uint8_t>(greatest, codes[i] < f.bins ? codes[i] : 0);
      }
    }
    if (least < greatest) {
      const auto words =
          philox(rules_.seed, stream_of(Draw::cut, node_.key), static_cast<uint64_t>(feature));
      const auto span = static_cast<uint64_t>(greatest - least);
      const auto drawn = static_cast<uint8_t>(least + (words[0] * span >> 32));
      try_cut_after(drawn, codes, feature, false, missing);
      if (missing) {
        try_cut_after(greatest, codes, feature, false, true);
        try_cut_after(drawn, codes, feature, true, true);
      }
    } else if (missing) {
      try_cut_after(greatest, codes, feature, false, true);
    }
  }

  void try_cut_after(uint8_t code, const uint8_t* codes, int32_t feature, bool missing_left,
                     bool missing) {
    const int32_t beyond = missing_left ? features_[feature].bins : kCodes;
    double score = 0, left_hessian = 0;
    for (int32_t o = 0; o < outputs_; ++o) {
      const int64_t* words = words_.data() + int64_t{o} * kSubtreeRows;
      int64_t sum = 0;
      // By a mask: a branch could not be foreseen.
      for (int32_t i = 0, n = node_.count; i < n; ++i) {
        sum += words[i] & -static_cast<int64_t>(codes[i] <= code);
      }
      if (missing_left) {
        for (int32_t i = 0; i < node_.count; ++i) sum += codes[i] == beyond ? words[i] : 0;
      }
      tried_[o] = unpack(sum);
      const double l2 = rules_.objective.l2;
      const double gl = gradient_of(tried_[o]), hl = hessian_of(tried_[o]);
      const double gr = gradient_of(node_.totals[o]) - gl, hr = hessian_of(node_.totals[o]) - hl;
      score += gl * gl / (hl + l2) + gr * gr / (hr + l2);
      left_hessian += hl;
    }
    if (!(left_hessian >= least_ && total_hessian_ - left_hessian >= least_)) return;
    if (!(score < kInfinity) || !betters(score, feature)) return;
    uint8_t last = 0;  // the last code that occurs left of the cut
    int32_t rows = 0;
    for (int32_t i = 0, n = node_.count; i < n; ++i) {
      const bool is_left = codes[i] <= code;
      last = std::max<uint8_t>(last, is_left ? codes[i] : 0);
      rows += is_left | (codes[i] == beyond);
    }
    if (rows < min_rows_ || node_.count - rows < min_rows_) return;
    best_ = {score - parent_, feature, last, missing_left, missing};
    std::swap(left_, tried_);
  }

  std::vector<Pair> tried_;              // left of a cut, by output
  uint8_t codes_[kGroup][kSubtreeRows];  // of the node's rows
  std::vector<int64_t> words_;           // (outputs, kSubtreeRows), as well
};

}  // namespace pyllm::PYLLM_ISA
