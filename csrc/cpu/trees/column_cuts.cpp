// One column a task. The zeros that are not stored are one value with the weight that is left.
#include "cpu/trees/column_cuts.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "core/parallel.h"
#include "core/transient.h"
#include "cpu/trees/binning.h"

namespace pyllm::trees {
namespace {

using Weighted = std::pair<double, double>;  // value, weight

std::vector<double> cuts_of(std::vector<Weighted>& values, double absent, int32_t max_bin) {
  if (absent > 0) values.emplace_back(0.0, absent);
  // Stable: weights of equal values are added in the order of rows.
  const auto before = [](const Weighted& a, const Weighted& b) { return a.first < b.first; };
  std::stable_sort(values.begin(), values.end(), before);
  std::vector<double> value, weights;
  for (const auto& [v, w] : values) {
    value.push_back(v);
    weights.push_back(w);
  }
  return quantile_cuts(value.data(), weights.data(), static_cast<int64_t>(value.size()), max_bin);
}

// Each value weighs 1; NaN is left out. Few pairs are left once equal values are counted.
template <class T>
std::vector<double> cuts_of(T* begin, T* end, int64_t absent, int32_t max_bin) {
  end = std::remove_if(begin, end, [](T value) { return value != value; });
  if (!std::is_sorted(begin, end)) std::sort(begin, end);
  std::vector<Weighted> counted;
  while (begin < end) {
    const T* next = std::find_if(begin, end, [&](T value) { return value != *begin; });
    counted.emplace_back(*begin, static_cast<double>(next - begin));
    begin += next - begin;
  }
  return cuts_of(counted, static_cast<double>(absent), max_bin);
}

template <class T, class RowOf>
std::vector<double> weighted_cuts(const T* data, int64_t begin, int64_t end, RowOf&& row_of,
                                  const RowSample& sample, int32_t max_bin) {
  std::vector<Weighted> values;
  int64_t stored = 0;
  double weight = 0;
  for (int64_t i = begin; i < end; ++i) {
    const double own = sample.weight[row_of(i)];
    const int times = sample.times ? sample.times[row_of(i)] : 1;
    stored += times;
    for (int t = 0; t < times; ++t) {
      weight += own;
      if (data[i] == data[i] && own > 0) values.emplace_back(data[i], own);
    }
  }
  return cuts_of(values, stored < sample.rows ? sample.total - weight : 0.0, max_bin);
}

template <class T, class Index>
std::vector<double> unweighted_cuts(const T* data, int64_t begin, int64_t end, const Index* rows,
                                    const RowSample& sample, int32_t max_bin) {
  std::vector<T> values;
  values.reserve(end - begin);
  for (int64_t i = begin; i < end; ++i) {
    const int times = sample.times ? sample.times[rows[i]] : 1;
    for (int t = 0; t < times; ++t) values.push_back(data[i]);
  }
  const auto stored = static_cast<int64_t>(values.size());
  return cuts_of(values.data(), values.data() + stored, sample.rows - stored, max_bin);
}

// Entries of the drawn rows by feature, a row drawn twice in two places.
template <class T>
struct Drawn {
  std::vector<int64_t> offset;  // of a feature's first entry
  Transient<T> data;
  Transient<int32_t> rows;  // none where rows do not weigh
};

template <class T, class Index>
Drawn<T> draw(const CsrMatrix& matrix, const RowSample& sample) {
  const std::vector<int64_t> begins = row_ranges(matrix);
  const auto ranges = static_cast<int64_t>(begins.size()) - 1;
  const auto* indices = matrix.indices.as<Index>();
  const auto for_each = [&](int64_t range, auto&& visit) {
    for (int64_t row = begins[range]; row < begins[range + 1]; ++row) {
      const int times = sample.times ? sample.times[row] : 1;
      for (int64_t i = matrix.offset[row]; times > 0 && i < matrix.offset[row + 1]; ++i) {
        visit(row, i, times);
      }
    }
  };
  // By range: first how many entries a feature has, then where the next one goes.
  std::vector<std::vector<int64_t>> next(ranges);
  parallel_tasks(ranges, [&](int64_t r) {
    next[r].resize(matrix.features);
    for_each(r, [&](int64_t, int64_t i, int times) { next[r][indices[i]] += times; });
  });
  Drawn<T> drawn;
  drawn.offset.push_back(0);
  for (int32_t f = 0; f < matrix.features; ++f) {
    int64_t place = drawn.offset.back();
    for (auto& range : next) place += std::exchange(range[f], place);
    drawn.offset.push_back(place);
  }
  drawn.data = Transient<T>(drawn.offset.back());
  if (sample.weight) drawn.rows = Transient<int32_t>(drawn.offset.back());
  parallel_tasks(ranges, [&](int64_t r) {
    for_each(r, [&](int64_t row, int64_t i, int times) {
      for (int t = 0; t < times; ++t) {
        const int64_t place = next[r][indices[i]]++;
        drawn.data[place] = matrix.data.as<T>()[i];
        if (sample.weight) drawn.rows[place] = static_cast<int32_t>(row);
      }
    });
  });
  return drawn;
}

}  // namespace

std::vector<std::vector<double>> column_cuts(const CscMatrix& matrix, const RowSample& sample,
                                             const std::vector<int32_t>& columns, int32_t max_bin) {
  std::vector<std::vector<double>> cuts(columns.size());
  with_types(matrix.data, matrix.indices, [&](auto* value, auto* index) {
    const auto* data = matrix.data.as<std::remove_pointer_t<decltype(value)>>();
    const auto* rows = matrix.indices.as<std::remove_pointer_t<decltype(index)>>();
    parallel_tasks(static_cast<int64_t>(columns.size()), [&](int64_t i) {
      const int64_t begin = matrix.offset[columns[i]], end = matrix.offset[columns[i] + 1];
      const auto row_of = [&](int64_t at) { return rows[at]; };
      cuts[i] = sample.weight ? weighted_cuts(data, begin, end, row_of, sample, max_bin)
                              : unweighted_cuts(data, begin, end, rows, sample, max_bin);
    });
  });
  return cuts;
}

std::vector<std::vector<double>> csr_cuts(const CsrMatrix& matrix, const RowSample& sample,
                                          int32_t max_bin) {
  std::vector<std::vector<double>> cuts(matrix.features);
  with_types(matrix.data, matrix.indices, [&](auto* value, auto* index) {
    using T = std::remove_const_t<std::remove_pointer_t<decltype(value)>>;
    using Index = std::remove_const_t<std::remove_pointer_t<decltype(index)>>;
    const Drawn<T> drawn = draw<T, Index>(matrix, sample);
    RowSample once = sample;
    once.times = nullptr;
    parallel_tasks(matrix.features, [&](int64_t f) {
      T* data = drawn.data.data();
      const int64_t begin = drawn.offset[f], end = drawn.offset[f + 1];
      const auto row_of = [&](int64_t at) { return drawn.rows[at]; };
      cuts[f] = sample.weight
                    ? weighted_cuts(data, begin, end, row_of, once, max_bin)
                    : cuts_of(data + begin, data + end, sample.rows - (end - begin), max_bin);
    });
  });
  return cuts;
}

}  // namespace pyllm::trees
