#pragma once

#include <cstdint>
#include <string>

#include "cpu/trees/pack.h"

namespace pyllm::trees {

struct NodeFault {
  const char* field = nullptr;  // null: all is well
  std::string problem;
};

struct CheckedNodes {
  ForestArrays forest;
  const float* gain = nullptr;  // these by node
  const double* cover = nullptr;
  const int64_t* count = nullptr;
};

// Whether nodes that split name a feature, and a threshold or a set of categories that is there;
// what is added or averaged is finite, and what is counted not negative.
NodeFault check_nodes(const CheckedNodes& nodes);

}  // namespace pyllm::trees
