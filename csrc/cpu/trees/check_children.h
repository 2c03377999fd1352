#pragma once

#include <cstdint>

namespace pyllm::trees {

struct ChildFault {
  const char* field = nullptr;  // null: all is well
  const char* problem = nullptr;
};

// Whether each tree is one tree: a node but the root has one parent, and comes after it. Nodes of
// tree t are [offset[t], offset[t + 1]); children are numbered within their tree.
ChildFault check_children(int64_t trees, const int64_t* offset, const int32_t* feature,
                          const int32_t* left, const int32_t* right);

}  // namespace pyllm::trees
