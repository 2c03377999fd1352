// Trees one after the other in one set of columns, as pyllm.trees.Forest has them.
//
// Threads hand in trees in any order. A tree goes to its place as soon as those before it are
// there, so it is held twice for no longer than it takes to copy.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "core/growable.h"
#include "core/scratch.h"
#include "cpu/trees/bins.h"
#include "cpu/trees/tree_node.h"

namespace pyllm::trees {

struct FinishedTree {
  TreeNodes grown;
  Scratch<double> value, cover;  // (nodes, outputs), (nodes)
};

// Real numbers for bins: the cut after a bin is edges[first[feature] + bin].
struct Thresholds {
  const Bins* bins = nullptr;
  const double* edges = nullptr;
  const int64_t* first = nullptr;

  double of(const TreeNode& node) const {
    if (node.feature < 0 || bins->features[node.feature].categorical) return 0.0;
    return edges[first[node.feature] + node.bin];
  }
};

struct NodeColumns {
  Growable<int32_t> feature, left, right;
  Growable<double> threshold, value, cover;
  Growable<bool> default_left;
  Growable<float> gain;
  Growable<int64_t> category_offset, count;
  Growable<uint32_t> categories;  // bits by code
};

class JoinedTrees {
 public:
  JoinedTrees(int64_t trees, int32_t outputs, const Thresholds& thresholds)
      : expected_(trees), outputs_(outputs), thresholds_(thresholds) {}

  // By any thread, each tree once.
  void put(int64_t tree, FinishedTree finished);
  // No more will come: those beyond one that is not there are dropped, and room not used given
  // back.
  void finish();

  int64_t trees() const { return static_cast<int64_t>(offset_.size()) - 1; }
  int64_t nodes() const { return offset_.back(); }
  int64_t words() const { return words_; }
  const std::vector<int64_t>& offset() const { return offset_; }  // of nodes, and the end
  NodeColumns& columns() { return columns_; }

 private:
  struct Placed {
    int64_t node, word;
    FinishedTree tree;
  };

  void make_room(int64_t trees, int64_t nodes, int64_t words);
  void resize(int64_t nodes);
  void copy(const Placed& placed);

  const int64_t expected_;
  const int32_t outputs_;
  const Thresholds thresholds_;
  std::mutex mutex_;  // of what follows, but for the columns
  std::map<int64_t, FinishedTree> early_;
  std::vector<int64_t> offset_{0};
  int64_t words_ = 0;
  int64_t room_ = 0, word_room_ = 0;
  std::shared_mutex moving_;  // shared by those who write to the columns
  NodeColumns columns_;
};

}  // namespace pyllm::trees
