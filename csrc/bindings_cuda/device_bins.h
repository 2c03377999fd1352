// A binned data set on a device.
#pragma once

#include <vector>

#include "bindings_cuda/arrays.h"
#include "cpu/trees/bins.h"

namespace pyllm::bind_cuda {

// The matrix of codes, of one or two bytes each.
struct DeviceCodes {
  DeviceArray by_row;     // (rows, stride)
  DeviceArray by_column;  // (features, rows)

  bool wide() const { return by_row.view.dtype == DType::u16; }
  int64_t rows() const { return by_row.view.shape[0]; }
  int64_t features() const { return by_column.view.shape[0]; }
};

// Neighbouring features whose sums a block keeps in shared memory.
struct FeatureGroups {
  int64_t features = 1;  // of a group
  int64_t bins = 0;      // the most of a group
};

struct DeviceBins {
  DeviceCodes codes;
  std::vector<trees::Feature> features;  // `wide` and `column` as on the CPU, to draw in its order
  int64_t total = 0;                     // bins of all features
  std::shared_ptr<void> tables;
  const int32_t* bin_offset = nullptr;   // (features + 1,), on the device
  const uint8_t* has_missing = nullptr;  // (features,)
  FeatureGroups groups, wide_groups;     // for sums of 32 and of 64 bits

  int64_t rows() const { return codes.rows(); }
};

}  // namespace pyllm::bind_cuda
