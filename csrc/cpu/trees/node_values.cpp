// Leaf values from the float gradients, not from their fixed-point stand-ins, which only choose the
// splits: a leaf's rows are summed in double in the order of their numbers, whichever thread does
// it.
#include "cpu/trees/node_values.h"

#include <algorithm>

#include "core/parallel.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kGrain = 1 << 14;
constexpr int64_t kAhead = 32;  // rows between a prefetch and its use

void sum_leaf(const GrowInput& input, const int32_t* rows, Segment segment, double* sums) {
  const int32_t k = input.outputs;
  const int64_t end = segment.begin + segment.count;
  for (int64_t i = segment.begin; i < end; ++i) {
    const int64_t ahead = rows[std::min(i + kAhead, end - 1)] * input.row_stride;
    __builtin_prefetch(input.gradient + ahead);
    __builtin_prefetch(input.hessian + ahead);
    const int64_t row = rows[i] * input.row_stride;
    for (int32_t o = 0; o < k; ++o) {
      sums[2 * o] += input.gradient[row + o * input.output_stride];
      sums[2 * o + 1] += input.hessian[row + o * input.output_stride];
    }
  }
}

bool goes_left(const Bins& bins, const GrownTree& tree, int32_t node, int64_t row) {
  const Feature& f = bins.features[tree.feature[node]];
  const int32_t code = f.wide ? bins.wide.by_row[row * bins.wide.stride + f.column]
                              : bins.narrow.by_row[row * bins.narrow.stride + f.column];
  if (code >= f.bins) return tree.default_left[node] != 0;
  if (!f.categorical) return code <= tree.bin[node];
  return (tree.categories[tree.category_offset[node] + code / 32] >> code % 32 & 1) != 0;
}

void find_leaves(const Bins& bins, const GrownTree& tree, int32_t* leaf_of_row) {
  parallel_for(bins.rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (leaf_of_row[row] >= 0) continue;
      int32_t node = 0;
      while (tree.feature[node] >= 0) {
        node = goes_left(bins, tree, node, row) ? tree.left[node] : tree.right[node];
      }
      leaf_of_row[row] = node;
    }
  });
}

}  // namespace

void fill_nodes(const GrowInput& input, const Objective& objective, const int32_t* rows,
                const std::vector<TreeNode>& grown, GrownTree& tree, int32_t* leaf_of_row) {
  const auto nodes = static_cast<int64_t>(grown.size());
  const int32_t k = input.outputs;
  const bool partial = leaf_of_row && input.count < input.bins->rows;
  if (partial) std::fill_n(leaf_of_row, input.bins->rows, -1);

  std::vector<double> sums(static_cast<size_t>(nodes * k) * 2, 0.0);
  // Every tasks-th node: many small leaves are not worth a task each.
  const int64_t tasks = std::min<int64_t>(nodes, int64_t{64} * num_threads());
  parallel_tasks(tasks, [&](int64_t task) {
    for (int64_t node = task; node < nodes; node += tasks) {
      if (tree.feature[node] >= 0) continue;
      const Segment segment = grown[node].rows;
      sum_leaf(input, rows, segment, sums.data() + node * k * 2);
      if (!leaf_of_row) continue;
      for (int64_t i = segment.begin; i < segment.begin + segment.count; ++i) {
        leaf_of_row[rows[i]] = static_cast<int32_t>(node);
      }
    }
  });
  tree.value.resize(static_cast<size_t>(nodes * k));
  tree.cover.resize(static_cast<size_t>(nodes));
  for (int64_t node = nodes - 1; node >= 0; --node) {
    double* own = sums.data() + node * k * 2;
    if (tree.feature[node] >= 0) {
      const double* left = sums.data() + int64_t{tree.left[node]} * k * 2;
      const double* right = sums.data() + int64_t{tree.right[node]} * k * 2;
      for (int32_t i = 0; i < 2 * k; ++i) own[i] = left[i] + right[i];
    }
    double cover = 0;
    for (int32_t o = 0; o < k; ++o) {
      tree.value[node * k + o] = objective.weight(own[2 * o], own[2 * o + 1], grown[node].bounds);
      cover += own[2 * o + 1];
    }
    tree.cover[node] = cover;
  }
  if (partial) find_leaves(*input.bins, tree, leaf_of_row);
}

}  // namespace pyllm::trees
