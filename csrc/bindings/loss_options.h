// The arguments that cross_entropy and linear_cross_entropy share, checked.
#pragma once

#include <memory>
#include <vector>

#include "bindings/arrays.h"
#include "cpu/cross_entropy.h"

namespace pyllm::bind {

class LossOptions {
 public:
  LossOptions(py::handle targets, std::span<const int64_t> rows, int64_t classes,
              py::handle class_weight, const Input& like, int64_t ignore_index,
              double label_smoothing, double z_loss, const std::string& reduction);

  const CrossEntropyOptions& options() const { return options_; }
  int64_t rows() const { return static_cast<int64_t>(targets_.size()); }

  // (...) for reduction "none", else ().
  std::vector<int64_t> loss_shape() const;

 private:
  CrossEntropyOptions options_;
  std::vector<int64_t> row_shape_;
  std::vector<int64_t> targets_;
  std::unique_ptr<Input> class_weight_;
};

// Calls f with the offset of each element of a, in row-major order.
template <class F>
void for_each_offset(const Array& a, F&& f) {
  std::array<int64_t, kMaxDims> index{};
  int64_t offset = 0;
  for (int64_t left = a.size(); left > 0; --left) {
    f(offset);
    for (int axis = a.ndim - 1; axis >= 0; --axis) {
      offset += a.strides[axis];
      if (++index[axis] < a.shape[axis]) break;
      offset -= a.strides[axis] * a.shape[axis];
      index[axis] = 0;
    }
  }
}

// The dtype of a loss: float64 for float64, else float32.
inline DType loss_dtype(DType dtype) {
  return dtype == DType::f64 ? DType::f64 : DType::f32;
}

}  // namespace pyllm::bind
