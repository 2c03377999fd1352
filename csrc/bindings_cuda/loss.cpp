#include "bindings_cuda/loss.h"

#include <cmath>

#include "bindings_cuda/launchers.h"

namespace pyllm::bind_cuda {
namespace {

Reduction reduction_of(const std::string& name) {
  if (name == "mean") return Reduction::mean;
  if (name == "sum") return Reduction::sum;
  if (name == "none") return Reduction::none;
  bind::fail_value("reduction", "expected 'mean', 'sum' or 'none', got '" + name + "'");
}

}  // namespace

Loss::Loss(Call& call, const Input& like, std::span<const int64_t> rows, int64_t classes,
           py::handle targets, py::handle weight, int64_t ignore_index, double label_smoothing,
           double z_loss, const std::string& reduction)
    : targets_(call, targets, "targets"),
      weight_(optional_input(call, weight, "weight")),
      ignore_index_(ignore_index),
      classes_(classes),
      label_smoothing_(static_cast<float>(label_smoothing)),
      z_loss_(static_cast<float>(z_loss)),
      reduction_(reduction_of(reduction)),
      row_shape_(rows.begin(), rows.end()),
      dtype_(like->dtype) {
  targets_.require_dtype({DType::i32, DType::i64}).require_shape(rows);
  if (!(label_smoothing >= 0 && label_smoothing <= 1)) {
    bind::fail_value("label_smoothing",
                     "expected a number in [0, 1], got " + std::to_string(label_smoothing));
  }
  if (!(z_loss >= 0) || std::isinf(z_loss)) {
    bind::fail_value("z_loss",
                     "expected a finite number of at least 0, got " + std::to_string(z_loss));
  }
  if (weight_) {
    weight_->require_same_dtype(like).require_shape({classes_});
    weight_data_ = read_contiguous(call, weight_->view()).data;
  }
  targets_data_ = read_contiguous(call, targets_.view()).data;
  totals_ = call.workspace_of<float>(2);
  CrossEntropyTotals args{};
  args.first_bad = call.workspace_of<int64_t>(1);
  args.totals = totals_;
  fill(args);
  call.launch(&pyllm_cuda_cross_entropy_totals, args);
}

void Loss::reduce(Call& call, const float* losses, float* loss) const {
  const CrossEntropyReduce args{losses, totals_, loss, rows(), mean()};
  call.launch(&pyllm_cuda_cross_entropy_reduce, args);
}

}  // namespace pyllm::bind_cuda
