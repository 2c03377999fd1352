// What a tree is grown from on a device, and its gradients as integers.
#pragma once

#include <memory>
#include <vector>

#include "bindings_cuda/device_bins.h"
#include "cpu/trees/sums.h"

namespace pyllm::bind_cuda {

struct DeviceGrowInput {
  const DeviceBins* bins = nullptr;
  const float* gradient = nullptr;  // (rows, outputs), strides in elements
  const float* hessian = nullptr;
  int64_t row_stride = 1, output_stride = 1;
  int32_t outputs = 1;
  const int32_t* rows = nullptr;       // on the device, ascending: those that take part; null: all
  const int32_t* host_rows = nullptr;  // the same
  int64_t count = 0;                   // how many
  uint64_t seed = 0;
  bool quantized = false;
  Stream stream;
};

// kernels/cuda/tree_bins.h says how gradients are rounded.
struct DeviceFixedPoint {
  bool wide = false;  // 64 bits
  std::shared_ptr<void> words, units_memory;
  const double* units = nullptr;  // (2,), on the device
  double gradient_unit = 1, hessian_unit = 1;
  int64_t least_hessian = 0, most_hessian = 0;  // of a row
  std::vector<trees::Pair> totals;              // by output

  // The integers of an output, by row.
  const void* output(int64_t o, int64_t rows) const;
};

// Throws std::invalid_argument naming gradient or hessian unless all are finite.
DeviceFixedPoint to_fixed_point(const DeviceGrowInput& input);

}  // namespace pyllm::bind_cuda
