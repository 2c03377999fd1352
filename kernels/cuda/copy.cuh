// A strided copy: a thread an element, neighbours along the last axis. An element may be several of
// the caller's (copy.cu).
#pragma once

#include "copy.h"
#include "device.cuh"

namespace pyllm::cuda {

constexpr int kCopyThreads = 256;

using SixteenBytes = dev::Vec<uint64_t, 2>;

// The element whose bits, or each half of whose bits, are `bits`.
template <class T>
PYLLM_DEVICE T filled(uint64_t bits) {
  if constexpr (sizeof(T) == 16) {
    return {{bits, bits}};
  } else {
    return static_cast<T>(bits);
  }
}

template <class T>
__global__ void __launch_bounds__(kCopyThreads) strided_copy(StridedCopy a, int64_t size) {
  int64_t i = int64_t{blockIdx.x} * kCopyThreads + threadIdx.x;
  if (i >= size) return;
  int64_t from = 0, mask = 0, to = 0;
#pragma unroll
  for (int axis = 7; axis >= 0; --axis) {
    if (axis >= a.ndim) continue;
    const int64_t at = i % a.shape[axis];
    i /= a.shape[axis];
    from += at * a.from_strides[axis];
    mask += at * a.mask_strides[axis];
    to += at * a.to_strides[axis];
  }
  const bool kept =
      a.from != nullptr &&
      (a.mask == nullptr || dev::ldg(static_cast<const uint8_t*>(a.mask) + mask) != 0);
  if (!kept && a.keep) return;
  const T value = kept ? dev::ldg(static_cast<const T*>(a.from) + from) : filled<T>(a.fill);
  dev::stg(static_cast<T*>(a.to) + to, value);
}

}  // namespace pyllm::cuda
