// The arguments that cross_entropy and linear_cross_entropy share, checked.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bindings_cuda/rows.h"
#include "dtype.h"

namespace pyllm::bind_cuda {

enum class Reduction { mean, sum, none };

// The targets stay where they are: to check them here would wait for the device, so a target that
// is no class makes its row NaN instead.
class Loss {
 public:
  // `like` has the dtype of the logits; there are `rows` of `classes` of them. Queues the kernel
  // that adds up the weights of all targets.
  Loss(Call& call, const Input& like, std::span<const int64_t> rows, int64_t classes,
       py::handle targets, py::handle weight, int64_t ignore_index, double label_smoothing,
       double z_loss, const std::string& reduction);

  // The fields that all of the launchers' arguments have.
  template <class Args>
  void fill(Args& args) const {
    args.targets = targets_data_;
    args.class_weight = weight_data_;
    args.rows = rows(), args.n = classes_, args.ignore_index = ignore_index_;
    args.dtype = code_of(dtype_);
    args.target_dtype = targets_->dtype == DType::i32 ? cuda::kInt32 : cuda::kInt64;
    if constexpr (requires { args.label_smoothing; }) {
      args.label_smoothing = label_smoothing_, args.z_loss = z_loss_;
      args.totals = totals_;
    }
  }

  // The sum or mean of one loss a row.
  void reduce(Call& call, const float* losses, float* loss) const;

  int64_t rows() const { return targets_->size(); }
  const std::vector<int64_t>& row_shape() const { return row_shape_; }
  bool per_row() const { return reduction_ == Reduction::none; }
  bool mean() const { return reduction_ == Reduction::mean; }
  // (...) for reduction "none", else ().
  std::vector<int64_t> shape() const { return per_row() ? row_shape_ : std::vector<int64_t>(); }

 private:
  Input targets_;
  std::unique_ptr<Input> weight_;
  int64_t ignore_index_, classes_;
  float label_smoothing_, z_loss_;
  Reduction reduction_;
  std::vector<int64_t> row_shape_;
  DType dtype_;
  const void* targets_data_;
  const void* weight_data_ = nullptr;
  float* totals_;
};

}  // namespace pyllm::bind_cuda
