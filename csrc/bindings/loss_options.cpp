#include "bindings/loss_options.h"

#include <cmath>

namespace pyllm::bind {
namespace {

Reduction reduction_of(const std::string& name) {
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  if (name == "none") return Reduction::none;
  throw py::value_error("reduction: expected 'mean', 'sum' or 'none', got '" + name + "'");
}

std::string position_string(std::span<const int64_t> shape, int64_t row) {
  std::vector<int64_t> position(shape.size());
  for (size_t i = shape.size(); i-- > 0; row /= shape[i]) position[i] = row % shape[i];
  return shape_string(position);
}

template <class T>
std::vector<int64_t> checked_targets(const Input& targets, int64_t classes, int64_t ignore_index) {
  std::vector<int64_t> values;
  values.reserve(targets->size());
  for_each_offset(targets.view(), [&](int64_t offset) {
    const int64_t y = targets->as<T>()[offset];
    if ((y < 0 || y >= classes) && y != ignore_index) {
      throw py::value_error("targets: " + std::to_string(y) + " at position " +
                            position_string(targets.shape(), int64_t(values.size())) +
                            " is neither a class in [0, " + std::to_string(classes) +
                            ") nor ignore_index " + std::to_string(ignore_index));
    }
    values.push_back(y);
  });
  return values;
}

}  // namespace

LossOptions::LossOptions(py::handle targets_object, std::span<const int64_t> rows, int64_t classes,
                         py::handle class_weight, const Input& like, int64_t ignore_index,
                         double label_smoothing, double z_loss, const std::string& reduction)
    : row_shape_(rows.begin(), rows.end()), class_weight_(optional_input(class_weight, "weight")) {
  const Input targets(targets_object, "targets");
  targets.require_dtype({DType::i32, DType::i64}).require_shape(rows);
  targets_ = targets->dtype == DType::i32
                 ? checked_targets<int32_t>(targets, classes, ignore_index)
                 : checked_targets<int64_t>(targets, classes, ignore_index);
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    throw py::value_error("label_smoothing: expected a number in [0, 1], got " +
                          std::to_string(label_smoothing));
  }
  if (!(z_loss >= 0) || std::isinf(z_loss)) {
    throw py::value_error("z_loss: expected a finite number of at least 0, got " +
                          std::to_string(z_loss));
  }
  if (class_weight_) {
    class_weight_->require_same_dtype(like).require_shape({classes});
    options_.class_weight = &class_weight_->view();
  }
  options_.targets = targets_.data();
  options_.ignore_index = ignore_index;
  options_.label_smoothing = label_smoothing;
  options_.z_loss = z_loss;
  options_.reduction = reduction_of(reduction);
}

std::vector<int64_t> LossOptions::loss_shape() const {
  return options_.reduction == Reduction::none ? row_shape_ : std::vector<int64_t>();
}

}  // namespace pyllm::bind
