// Tiles in the compute type, contiguous, and the places in stored matrices they come from or go to.
#pragma once

#include "cpu/product.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

// Calls f(Tag) for the storage types that compute in C.
template <class C, class F>
void with_storage(DType dtype, F&& f) {
  if constexpr (std::is_same_v<C, double>) {
    f(Tag<double>{});
  } else if (dtype == DType::f32) {
    f(Tag<float>{});
  } else if (dtype == DType::bf16) {
    f(Tag<bfloat16>{});
  } else {
    f(Tag<float16>{});
  }
}

template <class T, class C>
void load_as(const Matrix& from, C* to) {
  const T* source = static_cast<const T*>(from.data);
  if (from.column_stride == 1) {
    for (int64_t i = 0; i < from.rows; ++i) {
      const T* row = source + i * from.row_stride;
      for (int64_t j = 0; j < from.columns; j += Vec<C>::lanes) {
        const int count = lanes_left<C>(from.columns - j);
        store(to + i * from.columns + j, load(row + j, count), count);
      }
    }
    return;
  }
  for (int64_t i = 0; i < from.rows; ++i) {
    const T* row = source + i * from.row_stride;
    for (int64_t j = 0; j < from.columns; ++j) {
      to[i * from.columns + j] = widen(row[j * from.column_stride]);
    }
  }
}

// to (rows x columns, adjacent columns) = from, widened.
template <class C>
void load_tile(const Matrix& from, C* to) {
  with_storage<C>(from.dtype, [&](auto tag) { load_as<typename decltype(tag)::type>(from, to); });
}

// c = tile (+ c), rounded.
template <class C>
void store_tile(const C* tile, int64_t stride, const Matrix& c, bool accumulate) {
  with_storage<C>(c.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* target = static_cast<T*>(c.data);
    for (int64_t i = 0; i < c.rows; ++i) {
      const C* from = tile + i * stride;
      T* to = target + i * c.row_stride;
      if (c.column_stride == 1) {
        for (int64_t j = 0; j < c.columns; j += Vec<C>::lanes) {
          const int count = lanes_left<C>(c.columns - j);
          Vec<C> value = load(from + j, count);
          if (accumulate) value += load(to + j, count);
          store(to + j, value, count);
        }
      } else {
        for (int64_t j = 0; j < c.columns; ++j) {
          T& element = to[j * c.column_stride];
          element = narrow<T>(accumulate ? widen(element) + from[j] : from[j]);
        }
      }
    }
  });
}

}  // namespace pyllm::PYLLM_ISA
