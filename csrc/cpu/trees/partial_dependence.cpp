// Partial dependence by weighted traversal: Friedman 2001, "Greedy function approximation: a
// gradient boosting machine", section 8.2.
//
// A row walks down a tree with weight 1. A split on a known feature sends all of it to one child, a
// split on another feature parts it as the training rows were parted; the result is the mean of the
// leaves reached. One pass over a tree gives what predictions averaged over rows would estimate.
//
// Rows are split among threads; a row's sums are taken in the order of trees and leaves.
#include "cpu/trees/partial_dependence.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/parallel.h"
#include "cpu/trees/row_keys.h"
#include "cpu/trees/walk.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int kLanes = kForestLanes;

template <class Node>
void walk_rows(const PartialDependenceArgs& a, const CachedVector<Node>& nodes) {
  using Key = typename Node::KeyType;
  const PackedForest& f = *a.forest;
  std::vector<char> known(f.columns.size());  // by column
  for (size_t c = 0; c < known.size(); ++c) known[c] = a.known[f.features[f.columns[c].slot]];

  const int64_t groups = (a.rows.rows + kLanes - 1) / kLanes;
  const int64_t lanes = groups < num_threads() ? 1 : kLanes;  // of few rows, each is a task
  parallel_tasks((a.rows.rows + lanes - 1) / lanes, [&](int64_t task) {
    const int64_t begin = task * lanes, rows = std::min(lanes, a.rows.rows - begin);
    Scratch<Key> keys(f.columns.size() * kLanes);
    RowKeys<Key>(f, a.rows).encode(begin, rows, keys.data());
    std::vector<std::pair<uint32_t, double>> open;  // nodes yet to visit and their weights
    for (int64_t lane = 0; lane < rows; ++lane) {
      double* out = a.out + (begin + lane) * f.n_outputs;
      for (const PackedTree& tree : f.trees) {
        const Node* first = nodes.data() + tree.first;
        const auto step = step_of(f, first, static_cast<const Key*>(keys.data()));
        open.assign(1, {1, 1.0});
        while (!open.empty()) {
          auto [at, weight] = open.back();
          open.pop_back();
          while (first[at].child != at) {
            if (known[first[at].column / kLanes]) {
              at = static_cast<uint32_t>(step(at, lane));
              continue;
            }
            const double share = a.left_share[tree.first + at];
            const auto left = static_cast<uint32_t>(first[at].child);
            if (share < 1) open.push_back({left + 1, weight * (1 - share)});
            if (share == 0) break;
            at = left;
            weight *= share;
          }
          if (first[at].child != at) continue;
          const double* value = f.value.data() + (tree.first + at) * f.width;
          if (tree.output >= 0) {
            out[tree.output] += weight * value[0];
          } else {
            for (int64_t k = 0; k < f.n_outputs; ++k) out[k] += weight * value[k];
          }
        }
      }
    }
  });
}

}  // namespace

void forest_partial_dependence(const PartialDependenceArgs& a) {
  if (a.rows.rows == 0) return;
  std::visit([&](const auto& nodes) { walk_rows(a, nodes); }, a.forest->nodes);
}

}  // namespace pyllm::PYLLM_ISA
