#pragma once

#include <cstdint>
#include <vector>

namespace pyllm {

// The rows of [0, n) that an independent draw keeps, in order: row i if word i of the Philox stream
// (seed, stream) is below fraction 2^32.
std::vector<int32_t> sample_rows(int64_t n, double fraction, uint64_t seed, uint64_t stream);

// GOSS (Ke et al., "LightGBM", NeurIPS 2017, algorithm 2): keeps the top_rate n rows of largest
// |gradient| (summed over outputs) and draws from the rest at rate other_rate / (1 - top_rate);
// the gradients and hessians of those drawn are multiplied by (1 - top_rate) / other_rate, in
// place. gradient, hessian: (outputs, n).
struct GossArgs {
  float* gradient = nullptr;
  float* hessian = nullptr;
  int64_t n = 0, outputs = 1;
  double top_rate = 0.2, other_rate = 0.1;
  uint64_t seed = 0, stream = 0;
};
std::vector<int32_t> goss(const GossArgs& args);

}  // namespace pyllm
