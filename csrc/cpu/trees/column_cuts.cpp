// One column a task. The zeros that are not stored are one value with the weight that is left.
#include "cpu/trees/column_cuts.h"

#include <algorithm>
#include <utility>

#include "core/parallel.h"
#include "cpu/trees/binning.h"

namespace pyllm::trees {
namespace {

using Weighted = std::pair<double, double>;  // value, weight

template <class T, class Index>
std::vector<double> cuts_of(const ColumnSample& sample, int32_t column, int32_t max_bin) {
  const T* data = sample.data.as<T>();
  const Index* indices = sample.indices.as<Index>();
  std::vector<Weighted> values;
  int64_t stored = 0;
  double weight = 0;
  for (int64_t i = sample.offset[column]; i < sample.offset[column + 1]; ++i) {
    const double own = sample.weight ? sample.weight[indices[i]] : 1.0;
    const int times = sample.times ? sample.times[indices[i]] : 1;
    stored += times;
    for (int t = 0; t < times; ++t) {
      weight += own;
      if (data[i] == data[i] && own > 0) values.emplace_back(data[i], own);
    }
  }
  const double absent = sample.total - weight;
  if (stored < sample.rows && absent > 0) values.emplace_back(0.0, absent);
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

}  // namespace

std::vector<std::vector<double>> column_cuts(const ColumnSample& sample,
                                             const std::vector<int32_t>& columns, int32_t max_bin) {
  std::vector<std::vector<double>> cuts(columns.size());
  const bool is_double = sample.data.dtype == DType::f64;
  const bool is_long = sample.indices.dtype == DType::i64;
  parallel_tasks(static_cast<int64_t>(columns.size()), [&](int64_t i) {
    const int32_t c = columns[i];
    if (is_double) {
      cuts[i] = is_long ? cuts_of<double, int64_t>(sample, c, max_bin)
                        : cuts_of<double, int32_t>(sample, c, max_bin);
    } else {
      cuts[i] = is_long ? cuts_of<float, int64_t>(sample, c, max_bin)
                        : cuts_of<float, int32_t>(sample, c, max_bin);
    }
  });
  return cuts;
}

}  // namespace pyllm::trees
