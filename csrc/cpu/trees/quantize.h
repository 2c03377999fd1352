#pragma once

#include <cstdint>

#include "core/isa.h"
#include "cpu/trees/sums.h"

namespace pyllm::trees {

// Reads one output's gradients: element i of row r's arrays stands at [r * stride].
struct Gradients {
  const float* gradient = nullptr;
  const float* hessian = nullptr;
  int64_t stride = 1;
  const int32_t* rows = nullptr;  // the rows that take part; null: all
  int64_t count = 0;              // how many
};

struct Magnitudes {
  uint32_t gradient = 0, hessian = 0;  // bits of the largest absolute value
};

struct QuantizeArgs {
  Gradients in;
  Packing packing = Packing::bits32;
  double gradient_scale = 1, hessian_scale = 1;  // units of 1.0
  bool stochastic = false;  // round up with the probability of the fraction; else to nearest, even
  uint64_t seed = 0, stream = 0;
  void* words = nullptr;  // out, by row: int32, int64 or Pair
};

struct QuantizedSums {
  Pair total{0, 0};
  int64_t gradient = 0, hessian = 0;  // of absolute values
  int64_t least_hessian = 0, most_hessian = 0;
};

}  // namespace pyllm::trees

namespace pyllm {
PYLLM_KERNEL(tree_magnitudes, (const trees::Gradients& in, trees::Magnitudes& out));
PYLLM_KERNEL(tree_quantize, (const trees::QuantizeArgs& args, trees::QuantizedSums& sums));
}  // namespace pyllm
