// From values of one feature to codes: a binary search that every lane does in the same number of
// steps.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace pyllm::PYLLM_ISA {

// The cuts of a feature in the type of its values, padded to a power of two less one.
template <class T>
class CutSearch {
 public:
  explicit CutSearch(const std::vector<double>& cuts)
      : cuts_(std::bit_ceil(cuts.size() + 1), std::numeric_limits<T>::infinity()),
        missing_(static_cast<int32_t>(cuts.size()) + 1) {
    for (size_t i = 0; i < cuts.size(); ++i) {
      // Rounded down: no T lies between the cut and its stand-in.
      T cut = static_cast<T>(cuts[i]);
      if (cut > cuts[i]) cut = std::nextafter(cut, -std::numeric_limits<T>::infinity());
      cuts_[i] = cut;
    }
  }

  // codes[i] = number of cuts below x[i]; the code after the last bin for NaN. Whether there was
  // one.
  bool find(const T* __restrict x, int64_t n, int32_t* __restrict codes) const {
    std::fill_n(codes, n, 0);
    const T* __restrict cuts = cuts_.data();
    for (auto step = static_cast<int32_t>(cuts_.size() / 2); step > 0; step /= 2) {
      for (int64_t i = 0; i < n; ++i) codes[i] += cuts[codes[i] + step - 1] < x[i] ? step : 0;
    }
    bool any = false;
    for (int64_t i = 0; i < n; ++i) {
      const bool is_nan = x[i] != x[i];
      codes[i] = is_nan ? missing_ : codes[i];
      any |= is_nan;
    }
    return any;
  }

  // The code of one value.
  int32_t find(T x) const {
    int32_t code = 0;
    for (auto step = static_cast<int32_t>(cuts_.size() / 2); step > 0; step /= 2) {
      code += cuts_[code + step - 1] < x ? step : 0;
    }
    return x == x ? code : missing_;
  }

  // The last value in a bin, and the last one before it: nothing is up to NaN.
  T last(int32_t bin) const {
    return bin + 1 < missing_ ? cuts_[bin] : std::numeric_limits<T>::infinity();
  }
  T before(int32_t bin) const {
    return bin > 0 ? cuts_[bin - 1] : std::numeric_limits<T>::quiet_NaN();
  }

 private:
  std::vector<T> cuts_;
  int32_t missing_;
};

}  // namespace pyllm::PYLLM_ISA
