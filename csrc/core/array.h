// A borrowed, strided view of somebody's array: what every kernel entry point takes.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"

namespace pyllm {

constexpr int kMaxDims = 8;

struct Array {
  void* data = nullptr;
  DType dtype = DType::f32;
  int ndim = 0;
  std::array<int64_t, kMaxDims> shape{};
  std::array<int64_t, kMaxDims> strides{};  // in elements, may be 0 or negative

  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < ndim; ++i) n *= shape[i];
    return n;
  }

  // Row-major without gaps; axes of length 1 may have any stride.
  bool is_contiguous() const {
    int64_t expected = 1;
    for (int i = ndim - 1; i >= 0; --i) {
      if (shape[i] != 1 && strides[i] != expected) return size() == 0;
      expected *= shape[i];
    }
    return true;
  }

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
};

}  // namespace pyllm
