// Trees that threads hand in, in any order, come out one after the other.
#include <algorithm>
#include <numeric>
#include <vector>

#include "check.h"
#include "core/parallel.h"
#include "cpu/trees/joined.h"

using namespace pyllm;
using namespace pyllm::trees;

namespace {

constexpr int32_t kOutputs = 2;

int64_t size_of(int64_t tree) {
  return 1 + 2 * (tree * 7919 % 500);
}

// A tree whose nodes tell their tree and place; every third one has a categorical root.
FinishedTree tree_of(int64_t number) {
  FinishedTree tree;
  const int64_t n = size_of(number);
  tree.value = Scratch<double>(n * kOutputs);
  tree.cover = Scratch<double>(n);
  for (int64_t i = 0; i < n; ++i) {
    TreeNode node;
    node.rows.count = number;
    node.feature = static_cast<int32_t>(i % 2);
    node.bin = static_cast<int32_t>(i % 3);
    node.gain = static_cast<double>(i);
    tree.grown.nodes.push_back(node);
    tree.cover[i] = static_cast<double>(number * 1000 + i);
    for (int32_t o = 0; o < kOutputs; ++o) tree.value[i * kOutputs + o] = tree.cover[i] + o;
  }
  if (number % 3 == 0) {
    tree.grown.nodes[0].category_offset = 0;
    tree.grown.categories.assign(2, static_cast<uint32_t>(number));
  }
  return tree;
}

struct Fixture {
  Bins bins;
  std::vector<double> edges{1, 2, 3, 4, 5, 6};
  std::vector<int64_t> first{0, 3, 6};
  Thresholds thresholds;

  Fixture() {
    bins.features.resize(2);
    bins.features[1].categorical = true;
    thresholds = {&bins, edges.data(), first.data()};
  }
};

void check_joined(JoinedTrees& trees, int64_t expected) {
  CHECK(trees.trees() == expected);
  const NodeColumns& c = trees.columns();
  int64_t at = 0, word = 0;
  for (int64_t t = 0; t < expected; ++t) {
    CHECK(trees.offset()[t] == at);
    bool same = c.category_offset.data()[at] == (t % 3 == 0 ? word : -1);
    for (int64_t i = 0; i < size_of(t); ++i, ++at) {
      const double cover = static_cast<double>(t * 1000 + i);
      const double threshold = i % 2 == 0 ? 1.0 + static_cast<double>(i % 3) : 0.0;
      same &= c.cover.data()[at] == cover && c.value.data()[2 * at + 1] == cover + 1;
      same &= c.count.data()[at] == t && c.gain.data()[at] == static_cast<float>(i);
      same &= c.threshold.data()[at] == threshold;
    }
    for (int w = 0; t % 3 == 0 && w < 2; ++w) same &= c.categories.data()[word++] == t;
    CHECK(same);
  }
  CHECK(trees.nodes() == at && trees.words() == word);
}

}  // namespace

TEST(trees_of_threads_are_joined_in_order) {
  const Fixture fixture;
  for (const int64_t foreseen : {200, 1}) {
    JoinedTrees trees(foreseen, kOutputs, fixture.thresholds);
    set_num_threads(4);
    parallel_tasks(200, [&](int64_t i) { trees.put(i ^ 7, tree_of(i ^ 7)); });
    trees.finish();
    check_joined(trees, 200);
  }
}

TEST(trees_beyond_one_that_is_missing_are_dropped) {
  const Fixture fixture;
  JoinedTrees trees(6, kOutputs, fixture.thresholds);
  for (const int64_t t : {3, 1, 0, 5}) trees.put(t, tree_of(t));
  trees.finish();
  check_joined(trees, 2);
}

TEST(no_trees_are_joined_to_none) {
  const Fixture fixture;
  JoinedTrees trees(3, kOutputs, fixture.thresholds);
  trees.put(1, tree_of(1));
  trees.finish();
  check_joined(trees, 0);
}
