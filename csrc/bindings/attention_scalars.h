// The options of attention that are numbers, checked alike for every back end.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace pyllm::bind {

namespace py = pybind11;

struct AttentionScalars {
  double scale, softcap = 0, dropout_p;
  int64_t left, right;  // a window's sides; INT64_MAX / 4: unlimited

  // Throws ValueError or TypeError.
  AttentionScalars(py::handle scale, py::handle softcap, double dropout_p, py::handle window,
                   bool causal, int64_t head_dim);
};

}  // namespace pyllm::bind
