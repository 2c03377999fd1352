// Rows through packed trees (pack.h).
//
// Blocks of rows are split among threads. A block's keys are computed once; then tree after tree
// passes over the block, so that a tree's nodes stay in cache, kForestLanes rows at a time, so that
// their walks, each a chain of dependent loads, overlap. No step is a branch.
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
constexpr int64_t kLeastKeys = 32 << 10, kMostKeys = 4 << 20;  // of a block, in bytes
constexpr int64_t kKeysATree = 16;                             // times the bytes of its nodes
constexpr int64_t kMinGroups = 8, kGroupBytes = 512;           // of keys, where rows are narrow
constexpr int kMoreSteps = 4;

// `steps` steps of kLanes rows, their walks overlapping; lane[i] is where the keys of row i start.
template <class Step, class Lane>
void walk(const Step step, int steps, uint64_t* at, Lane lane) {
  for (int s = 0; s < steps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) at[i] = step(at[i], lane(i));
  }
}

template <class Key>
class Block {
 public:
  Block(const ForestPredictArgs& args, int64_t groups)
      : a_(args),
        f_(*args.forest),
        group_keys_(f_.columns.size() * kLanes),
        keys_(group_keys_ * groups),
        sums_(args.sums ? groups * kLanes * f_.n_outputs : 0),
        at_(groups * kLanes),
        walking_(groups * kLanes) {}

  template <class Node>
  void predict(const CachedVector<Node>& nodes, int64_t begin, int64_t rows) {
    const int64_t groups = (rows + kLanes - 1) / kLanes, n_outputs = f_.n_outputs;
    double* result = a_.sums ? a_.sums + begin * n_outputs : nullptr;
    if (result) {
      std::fill_n(sums_.data(), groups * kLanes * n_outputs, 0.0);
      std::copy_n(result, rows * n_outputs, sums_.data());
    }
    for (int64_t t = a_.first_tree; t < a_.end_tree; ++t) {
      const PackedTree& tree = f_.trees[t];
      find_leaves(nodes.data() + tree.first, tree.first_steps, groups);
      result ? add(tree, groups * kLanes) : put(tree, begin, rows, t);
    }
    if (result) std::copy_n(sums_.data(), rows * n_outputs, result);
  }

  Key* group(int64_t g) const { return keys_.data() + g * group_keys_; }

 private:
  // Leaves of the rows of the block in one tree, into at_. Most rows arrive in `steps` steps; those
  // that do not are gathered and walk on together, so that no row waits long for the deepest.
  template <class Node>
  void find_leaves(const Node* nodes, int steps, int64_t groups) {
    uint64_t at[kLanes];
    const auto step = step_of(f_, nodes, static_cast<const Key*>(keys_.data()));
    for (int64_t g = 0; g < groups; ++g) {
      std::fill_n(at, kLanes, 1);
      walk(step_of(f_, nodes, static_cast<const Key*>(group(g))), steps, at,
           [](int i) { return i; });
      std::copy_n(at, kLanes, at_.data() + g * kLanes);
    }
    const auto arrived = [&](uint32_t row) { return nodes[at_[row]].child == at_[row]; };
    int64_t left = 0;
    for (int64_t row = 0; row < groups * kLanes; ++row) {
      walking_[left] = static_cast<uint32_t>(row);
      left += !arrived(static_cast<uint32_t>(row));
    }
    while (left > 0) {
      for (int64_t first = 0; first < left; first += kLanes) {
        uint32_t rows[kLanes];
        uint64_t lanes[kLanes];
        for (int i = 0; i < kLanes; ++i) {  // the last row fills up the last lanes
          rows[i] = walking_[std::min(first + i, left - 1)];
          lanes[i] = rows[i] / kLanes * group_keys_ + rows[i] % kLanes;
          at[i] = at_[rows[i]];
        }
        walk(step, kMoreSteps, at, [&](int i) { return lanes[i]; });
        for (int i = 0; i < kLanes; ++i) at_[rows[i]] = static_cast<uint32_t>(at[i]);
      }
      int64_t still = 0;
      for (int64_t i = 0; i < left; ++i) {
        const uint32_t row = walking_[i];
        walking_[still] = row;
        still += !arrived(row);
      }
      left = still;
    }
  }

  void add(const PackedTree& tree, int64_t rows) {
    const int64_t n = f_.n_outputs;
    double* sums = sums_.data();
    if (tree.output >= 0) {
      const double* value = f_.value.data() + tree.first;
      for (int64_t i = 0; i < rows; ++i) sums[i * n + tree.output] += value[at_[i]];
      return;
    }
    for (int64_t i = 0; i < rows; ++i) {
      const double* value = f_.value.data() + (tree.first + at_[i]) * f_.width;
      for (int64_t k = 0; k < n; ++k) sums[i * n + k] += value[k];
    }
  }

  void put(const PackedTree& tree, int64_t row, int64_t rows, int64_t t) const {
    const int64_t trees = a_.end_tree - a_.first_tree;
    for (int64_t i = 0; i < rows; ++i) {
      a_.leaves[(row + i) * trees + t - a_.first_tree] = f_.original[tree.first + at_[i]];
    }
  }

  const ForestPredictArgs& a_;
  const PackedForest& f_;
  int64_t group_keys_;
  Scratch<Key> keys_;
  Scratch<double> sums_;
  Scratch<uint32_t> at_;       // node of each row
  Scratch<uint32_t> walking_;  // rows on their way
};

template <class Node>
void predict(const ForestPredictArgs& a, const CachedVector<Node>& nodes) {
  using Key = typename Node::KeyType;
  const int64_t group_bytes = a.forest->columns.size() * kLanes * sizeof(Key);
  const int64_t tree_bytes = nodes.size() * sizeof(Node) / a.forest->trees.size();
  // Every block reads every tree anew: the larger trees are, the more rows have to share that.
  const int64_t key_bytes = std::clamp(kKeysATree * tree_bytes, kLeastKeys, kMostKeys);
  const int64_t most =
      std::max(std::min(key_bytes / group_bytes, key_bytes / kGroupBytes), kMinGroups);
  const int64_t all = (a.rows.rows + kLanes - 1) / kLanes, threads = num_threads();
  // As many for every thread.
  const int64_t shares = (all + most * threads - 1) / (most * threads) * threads;
  const int64_t groups = (all + shares - 1) / shares, block = groups * kLanes;
  const int64_t blocks = (a.rows.rows + block - 1) / block;
  // Threads get runs of blocks, a few each, so that their buffers are made once a run.
  const int64_t runs = std::min<int64_t>(blocks, threads * 8);
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
