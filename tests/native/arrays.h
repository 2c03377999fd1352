// Arrays for the native tests: exactly sized heap blocks, so that AddressSanitizer sees every read
// or write past an end.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "core/array.h"

template <class T>
struct OwnedArray {
  std::vector<T> values;
  pyllm::Array view;

  OwnedArray(pyllm::DType dtype, std::initializer_list<int64_t> shape) {
    view.dtype = dtype;
    view.ndim = static_cast<int>(shape.size());
    int i = 0;
    for (const int64_t n : shape) view.shape[i++] = n;
    int64_t stride = 1;
    for (i = view.ndim - 1; i >= 0; --i) {
      view.strides[i] = stride;
      stride *= view.shape[i];
    }
    values.resize(view.size());
    values.shrink_to_fit();
    view.data = values.data();
  }
};

// Deterministic values in [-2, 2].
inline OwnedArray<float> floats(std::initializer_list<int64_t> shape, unsigned seed = 1) {
  OwnedArray<float> a(pyllm::DType::f32, shape);
  uint32_t state = seed * 2654435761u + 1;
  for (float& v : a.values) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<float>(state >> 8) / 4194304.0f - 2.0f;
  }
  return a;
}
