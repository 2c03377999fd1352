// One step down a packed tree (pack.h): from node `at` to the child that a row goes to. `keys` are
// those of kForestLanes rows, `lane` the row (or those of many such groups, and where it starts).
#pragma once

#include "cpu/trees/pack.h"

namespace pyllm::PYLLM_ISA {

template <class Key, class Index>
struct ThresholdStep {
  const SplitNode<Key, Index>* nodes;
  const Key* keys;

  uint64_t operator()(uint64_t at, uint64_t lane) const {
    const SplitNode<Key, Index>& node = nodes[at];
    return uint64_t{node.child} + (node.threshold < keys[node.column + lane]);
  }
};

template <class Key>
struct CategoryStep {
  const CategoryNode<Key>* nodes;
  const Key* keys;
  const uint32_t* table;

  uint64_t operator()(uint64_t at, uint64_t lane) const {
    const CategoryNode<Key>& node = nodes[at];
    const Key key = keys[node.column + lane];
    const auto bit = static_cast<uint32_t>(key - 1);
    const uint32_t* set = table + node.category;
    const bool inside = bit < set[0];
    const uint32_t word = set[1 + (inside ? bit >> 5 : 0)];
    const bool member = inside & (word >> (bit & 31));
    return uint64_t{node.child} + ((node.threshold < key) & !member);
  }
};

template <class Key, class Index>
ThresholdStep<Key, Index> step_of(const PackedForest&, const SplitNode<Key, Index>* nodes,
                                  const Key* keys) {
  return {nodes, keys};
}
template <class Key>
CategoryStep<Key> step_of(const PackedForest& forest, const CategoryNode<Key>* nodes,
                          const Key* keys) {
  return {nodes, keys, forest.category_table.data()};
}

}  // namespace pyllm::PYLLM_ISA
