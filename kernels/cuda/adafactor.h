// One Adafactor step of many tensors, in as few launches as their tables take.
#pragma once

#include <cstdint>

// `batches` matrices of rows x cols with factored second moments, or, where `square` is given,
// cols elements (batches and rows 1) with a whole one. Contiguous; moments are float32.
struct AdafactorTensor {
  void* param;
  const void* grad;
  float* master;   // the float32 copy that a 16-bit parameter is rounded from, or null
  float* row;      // (batches, rows)
  float* col;      // (batches, cols)
  float* square;   // (cols,), or null
  float* exp_avg;  // of all elements: the first moment of the updates; or null
  int64_t batches, rows, cols;
};

struct AdafactorStep {
  const AdafactorTensor* tensors;  // in host memory
  int64_t count;
  const float* grad_scale;   // on the device, or null for 1
  double grad_factor;        // times grad_scale: -1 to maximize
  void* workspace;           // on the device, aligned to 16 bytes
  int64_t* workspace_bytes;  // in host memory: where to write how large workspace must be; or null
  double lr, beta1, beta2, weight_decay;
  double eps;        // added to squared gradients
  double least_rms;  // of a parameter, where steps are scaled by it
  double clip_threshold;
  int32_t scale_parameter;
  int32_t param_dtype, grad_dtype;
};
