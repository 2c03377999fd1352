// Draws of rows with replacement: points on the axis of the rows' weights, one after the other.
#pragma once

#include <cstdint>
#include <vector>

namespace pyllm::trees {

struct Bootstrap {
  std::vector<int64_t> order;  // the rows as they lie on the axis
  std::vector<double> edges;   // where each ends; the first one begins at 0
  bool even = false;           // all weights are 1
  int64_t size = 0;            // how many are drawn

  // counts: out, (rows), how often each is drawn. Depends on nothing but the seed.
  void draw(uint64_t seed, int32_t* counts) const;
};

}  // namespace pyllm::trees
