// Rows through packed trees (pack.h).
//
// Blocks of rows are split among threads. A block's keys are computed once; then tree after tree
// passes over the block, so that a tree's nodes stay in cache, kForestLanes rows at a time, so that
// their walks, each a chain of dependent loads, overlap. All walk as far as the shallowest leaf
// without a test, and on until none of them moves.
//
// A row's sums are taken in the order of the trees by one thread: the same bits come out at any
// number of threads, and integer comparisons are the same on every instruction set.
#include "cpu/trees/predict.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/scratch.h"
#include "cpu/trees/row_keys.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int kLanes = kForestLanes;
constexpr int64_t kKeyBytes = 32 * 1024;  // of a block, where rows are not too wide
constexpr int64_t kMinGroups = 8, kMaxGroups = 64;

template <class Key, class Index>
struct Walker {
  const SplitNode<Key, Index>* nodes;
  const Key* keys;

  uint32_t step(uint32_t at, int lane) const {
    const SplitNode<Key, Index> node = nodes[at];
    return node.child + (keys[node.column + lane] > node.threshold);
  }
};

template <class Key>
struct CategoryWalker {
  const CategoryNode<Key>* nodes;
  const Key* keys;
  const uint32_t* table;

  uint32_t step(uint32_t at, int lane) const {
    const CategoryNode<Key>& node = nodes[at];
    const Key key = keys[node.column + lane];
    const auto bit = static_cast<uint32_t>(key);
    const uint32_t* set = table + node.category;
    const bool inside = bit < set[0];
    const uint32_t word = set[1 + (inside ? bit >> 5 : 0)];
    const bool member = inside & (word >> (bit & 31));
    return node.child + ((key > node.threshold) & !member);
  }
};

template <class Key, class Index>
Walker<Key, Index> walker(const PackedForest&, const SplitNode<Key, Index>* nodes,
                          const Key* keys) {
  return {nodes, keys};
}
template <class Key>
CategoryWalker<Key> walker(const PackedForest& forest, const CategoryNode<Key>* nodes,
                           const Key* keys) {
  return {nodes, keys, forest.category_table.data()};
}

template <class Walk>
void find_leaves(const Walk walk, int min_depth, uint32_t* leaves) {
  uint32_t at[kLanes];
  for (int i = 0; i < kLanes; ++i) at[i] = 1;
  for (int step = 0; step < min_depth; ++step) {
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; ++i) at[i] = walk.step(at[i], i);
  }
  uint32_t moved;
  do {
    moved = 0;
#pragma GCC unroll 8
    for (int i = 0; i < kLanes; ++i) {
      const uint32_t next = walk.step(at[i], i);
      moved |= next ^ at[i];
      at[i] = next;
    }
  } while (moved != 0);
  for (int i = 0; i < kLanes; ++i) leaves[i] = at[i];
}

template <class Key>
class Block {
 public:
  Block(const ForestPredictArgs& args, int64_t groups)
      : a_(args),
        f_(*args.forest),
        group_keys_(f_.columns.size() * kLanes),
        keys_(group_keys_ * groups),
        sums_(args.sums ? groups * kLanes * f_.n_outputs : 0) {}

  // T: the rows' type.
  template <class T, Keying K>
  void encode(int64_t begin, int64_t rows) {
    const RowReader<T> reader(f_, a_.rows);
    Scratch<T> entries(std::max<size_t>(f_.features.size(), 1) * kLanes);
    std::fill_n(entries.data(), std::max<size_t>(f_.features.size(), 1) * kLanes, T(0));
    for (int64_t row = 0; row < rows; row += kLanes) {
      reader.read(begin + row, static_cast<int>(std::min<int64_t>(kLanes, rows - row)),
                  entries.data());
      Key* keys = group(row / kLanes);
      for (size_t c = 0; c < f_.columns.size(); ++c) {
        column_keys<K>(f_.columns[c], entries.data() + f_.columns[c].slot * kLanes,
                       keys + c * kLanes);
      }
    }
  }

  template <class Node>
  void predict(const std::vector<Node>& nodes, int64_t begin, int64_t rows) {
    const int64_t groups = (rows + kLanes - 1) / kLanes, n_outputs = f_.n_outputs;
    double* result = a_.sums ? a_.sums + begin * n_outputs : nullptr;
    if (result) {
      std::fill_n(sums_.data(), groups * kLanes * n_outputs, 0.0);
      std::copy_n(result, rows * n_outputs, sums_.data());
    }
    uint32_t leaves[kLanes];
    for (int64_t t = a_.first_tree; t < a_.end_tree; ++t) {
      const PackedTree& tree = f_.trees[t];
      for (int64_t g = 0; g < groups; ++g) {
        find_leaves(walker(f_, nodes.data() + tree.first, group(g)), tree.min_depth, leaves);
        if (result) {
          add(tree, leaves, sums_.data() + g * kLanes * n_outputs);
        } else {
          put(tree, leaves, begin + g * kLanes, std::min<int64_t>(kLanes, rows - g * kLanes), t);
        }
      }
    }
    if (result) std::copy_n(sums_.data(), rows * n_outputs, result);
  }

 private:
  Key* group(int64_t g) const { return keys_.data() + g * group_keys_; }

  void add(const PackedTree& tree, const uint32_t* leaves, double* sums) const {
    const int64_t n = f_.n_outputs;
    if (tree.output >= 0) {
      const double* value = f_.value.data() + tree.first;
      for (int i = 0; i < kLanes; ++i) sums[i * n + tree.output] += value[leaves[i]];
      return;
    }
    for (int i = 0; i < kLanes; ++i) {
      const double* value = f_.value.data() + (tree.first + leaves[i]) * f_.width;
      for (int64_t k = 0; k < n; ++k) sums[i * n + k] += value[k];
    }
  }

  void put(const PackedTree& tree, const uint32_t* leaves, int64_t row, int64_t rows,
           int64_t t) const {
    const int64_t trees = a_.end_tree - a_.first_tree;
    for (int64_t i = 0; i < rows; ++i) {
      a_.leaves[(row + i) * trees + t - a_.first_tree] = f_.original[tree.first + leaves[i]];
    }
  }

  const ForestPredictArgs& a_;
  const PackedForest& f_;
  int64_t group_keys_;
  Scratch<Key> keys_;
  Scratch<double> sums_;
};

template <class Node>
void predict(const ForestPredictArgs& a, const std::vector<Node>& nodes) {
  using Key = typename Node::KeyType;
  const int64_t group_bytes = a.forest->columns.size() * kLanes * sizeof(Key);
  const int64_t groups = std::min(std::clamp(kKeyBytes / group_bytes, kMinGroups, kMaxGroups),
                                  (a.rows.rows + kLanes - 1) / kLanes);
  const int64_t block = groups * kLanes, blocks = (a.rows.rows + block - 1) / block;
  // Threads get runs of blocks, a few each, so that their buffers are made once a run.
  const int64_t runs = std::min<int64_t>(blocks, num_threads() * int64_t{8});
  parallel_tasks(runs, [&](int64_t run) {
    Block<Key> work(a, groups);
    for (int64_t b = blocks * run / runs; b < blocks * (run + 1) / runs; ++b) {
      const int64_t begin = b * block, rows = std::min(block, a.rows.rows - begin);
      const bool doubles = a.rows.x.dtype == DType::f64;
      if constexpr (sizeof(Key) == 8) {
        doubles ? work.template encode<double, Keying::wide>(begin, rows)
                : work.template encode<float, Keying::wide>(begin, rows);
      } else if (!doubles) {
        work.template encode<float, Keying::narrow>(begin, rows);
      } else if (a.rows.rounding == RowRounding::nearest) {
        work.template encode<double, Keying::nearest>(begin, rows);
      } else {
        work.template encode<double, Keying::up>(begin, rows);
      }
      work.predict(nodes, begin, rows);
    }
  });
}

}  // namespace

void forest_predict(const ForestPredictArgs& a) {
  if (a.rows.rows == 0 || a.first_tree == a.end_tree) return;
  std::visit([&](const auto& nodes) { predict(a, nodes); }, a.forest->nodes);
}

}  // namespace pyllm::PYLLM_ISA
