// From values to codes, some rows of one feature at a time: a binary search that every lane does in
// the same number of steps, then two stores, one in each layout.
#include "cpu/trees/binning.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>

#include "core/parallel.h"

namespace pyllm::PYLLM_ISA {
namespace {

using namespace trees;

constexpr int64_t kBlock = 1024;  // rows

// The cuts of a feature in the type of its values, padded to a power of two less one.
template <class T>
class Search {
 public:
  explicit Search(const std::vector<double>& cuts)
      : cuts_(std::bit_ceil(cuts.size() + 1), std::numeric_limits<T>::infinity()) {
    for (size_t i = 0; i < cuts.size(); ++i) {
      // Rounded down: no T lies between the cut and its stand-in.
      T cut = static_cast<T>(cuts[i]);
      if (cut > cuts[i]) cut = std::nextafter(cut, -std::numeric_limits<T>::infinity());
      cuts_[i] = cut;
    }
  }

  // codes[i] = number of cuts below x[i].
  void find(const T* __restrict x, int64_t n, int32_t* __restrict codes) const {
    std::fill_n(codes, n, 0);
    const T* __restrict cuts = cuts_.data();
    for (auto step = static_cast<int32_t>(cuts_.size() / 2); step > 0; step /= 2) {
      for (int64_t i = 0; i < n; ++i) codes[i] += cuts[codes[i] + step - 1] < x[i] ? step : 0;
    }
  }

 private:
  std::vector<T> cuts_;
};

template <class Code>
void store(const int32_t* codes, int64_t n, Code* by_row, int64_t stride, Code* by_column) {
  for (int64_t i = 0; i < n; ++i) by_column[i] = static_cast<Code>(codes[i]);
  for (int64_t i = 0; i < n; ++i) by_row[i * stride] = static_cast<Code>(codes[i]);
}

template <class T>
void bin(BinArgs& args) {
  const Array& x = args.x;
  const auto features = static_cast<int64_t>(args.columns.size());
  std::vector<Search<T>> searches;
  for (const CodeColumn& c : args.columns) searches.emplace_back(c.cuts);
  std::vector<std::atomic<bool>> missing(features);
  const int64_t blocks = (x.shape[0] + kBlock - 1) / kBlock;
  parallel_tasks(blocks, [&](int64_t block) {
    const int64_t begin = block * kBlock, n = std::min(kBlock, x.shape[0] - begin);
    const int64_t row = args.first + begin;
    T values[kBlock];
    int32_t codes[kBlock];
    for (int64_t f = 0; f < features; ++f) {
      const CodeColumn& c = args.columns[f];
      if (c.column < 0) continue;
      const T* column = x.as<T>() + begin * x.strides[0] + f * x.strides[1];
      for (int64_t i = 0; i < n; ++i) values[i] = column[i * x.strides[0]];
      searches[f].find(values, n, codes);
      const auto nan_code = static_cast<int32_t>(c.cuts.size()) + 1;
      bool any = false;
      for (int64_t i = 0; i < n; ++i) {
        const bool is_nan = values[i] != values[i];
        codes[i] = is_nan ? nan_code : codes[i];
        any |= is_nan;
      }
      if (any) missing[f].store(true, std::memory_order_relaxed);
      if (c.wide) {
        store(codes, n, args.wide_by_row + row * args.wide_stride + c.column, args.wide_stride,
              args.wide_by_column + c.column * args.rows + row);
      } else {
        store(codes, n, args.narrow_by_row + row * args.narrow_stride + c.column,
              args.narrow_stride, args.narrow_by_column + c.column * args.rows + row);
      }
    }
  });
  for (int64_t f = 0; f < features; ++f) args.columns[f].saw_missing = missing[f].load();
}

}  // namespace

void tree_bin(BinArgs& args) {
  args.x.dtype == DType::f64 ? bin<double>(args) : bin<float>(args);
}

}  // namespace pyllm::PYLLM_ISA
