// What launchers share: from a dtype code to a C++ type, and whether 16-byte accesses are possible.
#pragma once

#include "device.cuh"
#include "dtype.h"

namespace pyllm::cuda {

constexpr int64_t kMaxGridX = 2147483647, kMaxGridYZ = 65535;

// f(T{}) for the storage type T of a dtype code.
template <class F>
cudaError_t with_type(int32_t dtype, F&& f) {
  switch (dtype) {
    case kFloat32:
      return f(float{});
    case kFloat16:
      return f(dev::half_t{});
    case kBFloat16:
      return f(dev::bf16_t{});
    default:
      return cudaErrorInvalidValue;
  }
}

inline bool is_index_type(int32_t dtype) {
  return dtype == kInt32 || dtype == kInt64;
}

// Whether each row of an array of T starts on a multiple of 16 bytes.
template <class T>
bool rows_aligned(const void* p, int64_t row_stride) {
  constexpr int64_t kBytes = 16;
  return reinterpret_cast<uintptr_t>(p) % kBytes == 0 &&
         row_stride * static_cast<int64_t>(sizeof(T)) % kBytes == 0;
}

}  // namespace pyllm::cuda
