// Ops along one axis: where each row of an array starts, for arrays of any strides.
//
// Row r runs over every combination of the other axes' indices, in row-major order. A kernel asks
// for the rows it was given and reads each with the stride of the op's axis, or through RowBuffer
// where that stride is not 1.
#pragma once

#include <memory>
#include <vector>

#include "core/array.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

class Rows {
 public:
  Rows(const Array& a, int axis) : axis_stride_(a.strides[axis]) {
    for (int i = 0; i < a.ndim; ++i) {
      if (i == axis) continue;
      shape_[ndim_] = a.shape[i];
      strides_[ndim_++] = a.strides[i];
      count_ *= a.shape[i];
    }
  }

  int64_t count() const { return count_; }
  int64_t axis_stride() const { return axis_stride_; }

  // Offset of row r from the array's data, in elements.
  int64_t offset(int64_t r) const {
    int64_t offset = 0;
    for (int i = ndim_ - 1; i >= 0; --i) {
      offset += r % shape_[i] * strides_[i];
      r /= shape_[i];
    }
    return offset;
  }

 private:
  int ndim_ = 0;
  int64_t count_ = 1;
  int64_t axis_stride_;
  std::array<int64_t, kMaxDims> shape_{};
  std::array<int64_t, kMaxDims> strides_{};
};

// A contiguous stand-in for a strided row.
template <class T>
class RowBuffer {
 public:
  RowBuffer(int64_t length, int64_t stride)
      : length_(length), stride_(stride), copy_(stride == 1 ? 0 : length) {}

  const T* read(const T* row) {
    if (stride_ == 1) return row;
    for (int64_t i = 0; i < length_; ++i) copy_[i] = row[i * stride_];
    return copy_.data();
  }
  T* target(T* row) { return stride_ == 1 ? row : copy_.data(); }
  void write(T* row) {
    if (stride_ == 1) return;
    for (int64_t i = 0; i < length_; ++i) row[i * stride_] = copy_[i];
  }

 private:
  int64_t length_;
  int64_t stride_;
  std::vector<T> copy_;
};

// A vector (bias, class weights) in the compute type.
template <class C>
std::vector<C> widened(const Array& a) {
  std::vector<C> values(a.shape[0]);
  with_float_type(a.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < a.shape[0]; ++i) values[i] = C(widen(a.as<T>()[i * a.strides[0]]));
  });
  return values;
}

}  // namespace pyllm::PYLLM_ISA
