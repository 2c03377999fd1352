// Copies between layouts, for arrays that a kernel's rows cannot describe.
#pragma once

#include <cstdint>

// to_i = from_i for every index i of `shape`. Strides are in elements and may be 0 or negative; an
// element is `item` bytes: 1, 2, 4 or 8. Where there is a mask and its byte at i is 0, or nothing
// to copy from, to_i is `fill`, the bits of an element; with `keep` it stays as it is.
struct StridedCopy {
  const void* from;  // or null
  const void* mask;  // or null
  void* to;
  int64_t shape[8], from_strides[8], mask_strides[8], to_strides[8];
  uint64_t fill;
  int32_t ndim, item;
  bool keep;
};
