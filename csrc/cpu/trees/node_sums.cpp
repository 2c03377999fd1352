#include "cpu/trees/node_sums.h"

#include <algorithm>

namespace pyllm::trees {

int64_t rows_of_a_sum(int64_t nodes) {
  constexpr int64_t kRows = 1 << 14, kRowsANode = 16;
  return std::max(kRows, kRowsANode * nodes);
}

void fill_values(const Objective& objective, int32_t outputs, FunctionRef<Bounds(int64_t)> bounds,
                 double* sums, GrownTree& tree) {
  const auto nodes = static_cast<int64_t>(tree.feature.size());
  const int64_t k = outputs;
  tree.value.resize(static_cast<size_t>(nodes * k));
  tree.cover.resize(static_cast<size_t>(nodes));
  for (int64_t node = nodes - 1; node >= 0; --node) {
    double* own = sums + node * k * 2;
    if (tree.feature[node] >= 0) {
      const double* left = sums + int64_t{tree.left[node]} * k * 2;
      const double* right = sums + int64_t{tree.right[node]} * k * 2;
      for (int64_t i = 0; i < 2 * k; ++i) own[i] = left[i] + right[i];
    }
    double cover = 0;
    for (int64_t o = 0; o < k; ++o) {
      tree.value[node * k + o] = objective.weight(own[2 * o], own[2 * o + 1], bounds(node));
      cover += own[2 * o + 1];
    }
    tree.cover[node] = cover;
  }
}

}  // namespace pyllm::trees
