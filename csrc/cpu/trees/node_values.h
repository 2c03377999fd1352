#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/parallel.h"
#include "cpu/trees/grow.h"
#include "cpu/trees/tree_node.h"

namespace pyllm::trees {

// Calls body(node, rows) for every leaf, several at a time.
template <class Body>
void for_each_leaf(const CachedVector<TreeNode>& nodes, Body&& body) {
  const auto count = static_cast<int64_t>(nodes.size());
  // Every tasks-th node: many small leaves are not worth a task each.
  const int64_t tasks = std::min<int64_t>(count, int64_t{64} * num_threads());
  parallel_tasks(tasks, [&](int64_t task) {
    for (int64_t node = task; node < count; node += tasks) {
      if (nodes[node].feature < 0) body(node, nodes[node].rows);
    }
  });
}

// The leaf of every row of the data set; `rows` are those that took part, in the order of the
// leaves.
void fill_leaves(const GrowInput& input, const int32_t* rows, const TreeNodes& grown,
                 int32_t* leaf_of_row);

// The same, and value and cover of every node from the gradients as they were given.
void fill_nodes(const GrowInput& input, const Objective& objective, const int32_t* rows,
                const TreeNodes& grown, GrownTree& tree, int32_t* leaf_of_row);

// value (nodes, outputs) and cover (nodes) of nodes that hold the mean of their rows: of the
// columns, and the rows' weight times the outputs.
struct MeanInput {
  const double* columns = nullptr;  // (rows, outputs)
  const double* weight = nullptr;   // by row; null: 1
  int32_t outputs = 1;
};
void fill_means(const MeanInput& input, const int32_t* rows, const CachedVector<TreeNode>& nodes,
                double* value, double* cover);

}  // namespace pyllm::trees
