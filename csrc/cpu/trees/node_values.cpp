// Leaf values from the float gradients, not from their fixed-point stand-ins, which only choose the
// splits: they are summed in double, in the order of the rows within a block and then by block.
#include "cpu/trees/node_values.h"

#include <algorithm>

#include "core/parallel.h"
#include "cpu/trees/node_sums.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kGrain = 1 << 14;

typedef double Sums __attribute__((vector_size(16)));  // of gradients and hessians

// Of every leaf, (nodes, outputs). Threads share blocks of rows, which depend on the data alone.
std::vector<Sums> sum_leaves(const GrowInput& input, int64_t nodes, const int32_t* leaf_of_row) {
  const int32_t k = input.outputs;
  const int64_t length = nodes * k;
  const int64_t block = rows_of_a_sum(nodes);
  const int64_t blocks = (input.count + block - 1) / block;
  std::vector<Sums> sums(static_cast<size_t>(blocks * length), Sums{0, 0});
  parallel_tasks(blocks, [&](int64_t b) {
    Sums* const of_block = sums.data() + b * length;
    for (int64_t i = b * block; i < std::min((b + 1) * block, input.count); ++i) {
      const int64_t row = input.rows ? input.rows[i] : i;
      Sums* own = of_block + int64_t{leaf_of_row[row]} * k;
      const float* gradient = input.gradient + row * input.row_stride;
      const float* hessian = input.hessian + row * input.row_stride;
      for (int32_t o = 0; o < k; ++o) {
        own[o] += Sums{gradient[o * input.output_stride], hessian[o * input.output_stride]};
      }
    }
  });
  for (int64_t b = 1; b < blocks; ++b) {
    for (int64_t i = 0; i < length; ++i) sums[i] += sums[b * length + i];
  }
  sums.resize(static_cast<size_t>(length));
  return sums;
}

bool goes_left(const Bins& bins, const TreeNodes& tree, const TreeNode& node, int64_t row) {
  const Feature& f = bins.features[node.feature];
  const int32_t code = f.code(f.wide ? bins.wide.by_row[row * bins.wide.stride + f.column]
                                     : bins.narrow.by_row[row * bins.narrow.stride + f.column]);
  if (code >= f.bins) return node.default_left;
  if (!f.categorical) return code <= node.bin;
  return (tree.categories[node.category_offset + code / 32] >> code % 32 & 1) != 0;
}

void find_leaves(const Bins& bins, const TreeNodes& tree, int32_t* leaf_of_row) {
  parallel_for(bins.rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      if (leaf_of_row[row] >= 0) continue;
      int32_t at = 0;
      while (tree.nodes[at].feature >= 0) {
        const TreeNode& node = tree.nodes[at];
        at = goes_left(bins, tree, node, row) ? node.left : node.right;
      }
      leaf_of_row[row] = at;
    }
  });
}

// Of the rows that took part.
void mark_leaves(const int32_t* rows, const TreeNodes& grown, int32_t* leaf_of_row) {
  for_each_leaf(grown.nodes, [&](int64_t node, Segment segment) {
    for (int64_t i = segment.begin; i < segment.begin + segment.count; ++i) {
      leaf_of_row[rows[i]] = static_cast<int32_t>(node);
    }
  });
}

}  // namespace

void fill_leaves(const GrowInput& input, const int32_t* rows, const TreeNodes& grown,
                 int32_t* leaf_of_row) {
  const bool partial = input.count < input.bins->rows;
  if (partial) std::fill_n(leaf_of_row, input.bins->rows, -1);
  mark_leaves(rows, grown, leaf_of_row);
  if (partial) find_leaves(*input.bins, grown, leaf_of_row);
}

void fill_nodes(const GrowInput& input, const Objective& objective, const int32_t* rows,
                const TreeNodes& grown, GrownTree& tree, int32_t* leaf_of_row) {
  const auto nodes = static_cast<int64_t>(grown.nodes.size());
  const int32_t k = input.outputs;
  fill_leaves(input, rows, grown, leaf_of_row);
  std::vector<Sums> sums = sum_leaves(input, nodes, leaf_of_row);
  fill_values(
      objective, k, [&](int64_t node) { return grown.nodes[node].bounds; },
      reinterpret_cast<double*>(sums.data()), tree);
}

}  // namespace pyllm::trees
