// The global norm of many gradients, and the factor that clips them to it: both stay on the device,
// where the optimizers read the factor as `grad_scale`.
#pragma once

#include <cstdint>

struct GradientTensor {
  const void* grad;
  int64_t n;
  int32_t dtype;
};

// norm = sqrt(sum of squares of all elements); scale = max_norm / (norm + 1e-6) where norm is more
// than max_norm, else 1. Sums of parts of 65,536 elements go to `partial`, then one block adds them
// up, in a fixed order and in float64.
struct GradientNorm {
  const GradientTensor* tensors;  // in host memory
  int64_t count;
  double* partial;  // workspace, one for each begun 65,536 elements of each tensor
  float* norm;      // (1,)
  float* scale;     // (1,), or null
  double max_norm;
  double* sum_of_squares;  // (1,), or null
};
