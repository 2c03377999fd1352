// The rows that decide the cuts of a sparse matrix, as Python draws them.
#pragma once

#include <memory>

#include "bindings/arrays.h"
#include "cpu/trees/column_cuts.h"

namespace pyllm::bind {

class SampleArrays {
 public:
  // times, weight: by row, or None.
  SampleArrays(py::handle times, py::handle weight, int64_t rows, double total)
      : times_(optional_input(times, "times")),
        weight_(optional_input(weight, "weight")),
        rows_(rows),
        total_(total) {
    if (times_) times_->require_dtype({DType::u8}).require_ndim(1).require_contiguous();
    if (weight_) {
      weight_->require_dtype({DType::f64}).require_ndim(1).require_contiguous();
      if (weight_->shape(0) != all()) throw py::value_error("weight: expected one a row");
    }
  }

  // Rows of the matrix.
  int64_t all() const { return times_ ? times_->shape(0) : rows_; }

  trees::RowSample view() const {
    return {times_ ? (*times_)->as<uint8_t>() : nullptr,
            weight_ ? (*weight_)->as<double>() : nullptr, rows_, total_};
  }

 private:
  std::unique_ptr<Input> times_, weight_;
  int64_t rows_;
  double total_;
};

}  // namespace pyllm::bind
