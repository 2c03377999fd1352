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
#include "cpu/trees/walk.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int kLanes = kForestLanes;
constexpr int64_t kKeyBytes = 32 * 1024;  // of a block, where rows are not too wide
constexpr int64_t kMinGroups = 8, kMaxGroups = 64;

template <class Step>
void find_leaves(const Step step, int min_depth, uint32_t* leaves) {
  uint64_t at[kLanes];
  for (int i = 0; i < kLanes; ++i) at[i] = 1;
  for (int depth = 0; depth < min_depth; ++depth) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) at[i] = step(at[i], i);
  }
  // A step from a leaf leads nowhere, so looking at every other one is enough.
  uint64_t moved;
  do {
    moved = 0;
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) at[i] = step(at[i], i);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      const uint64_t next = step(at[i], i);
      moved |= next ^ at[i];
      at[i] = next;
    }
  } while (moved != 0);
  for (int i = 0; i < kLanes; ++i) leaves[i] = static_cast<uint32_t>(at[i]);
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
        find_leaves(step_of(f_, nodes.data() + tree.first, group(g)), tree.min_depth, leaves);
        if (result) {
          add(tree, leaves, sums_.data() + g * kLanes * n_outputs);
        } else {
          put(tree, leaves, begin + g * kLanes, std::min<int64_t>(kLanes, rows - g * kLanes), t);
        }
      }
    }
    if (result) std::copy_n(sums_.data(), rows * n_outputs, result);
  }

  Key* group(int64_t g) const { return keys_.data() + g * group_keys_; }

 private:
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
    RowKeys<Key> encoder(*a.forest, a.rows);
    for (int64_t b = blocks * run / runs; b < blocks * (run + 1) / runs; ++b) {
      const int64_t begin = b * block, rows = std::min(block, a.rows.rows - begin);
      for (int64_t g = 0; g < groups && g * kLanes < rows; ++g) {
        encoder.encode(begin + g * kLanes, std::min<int64_t>(kLanes, rows - g * kLanes),
                       work.group(g));
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
