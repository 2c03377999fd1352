// What the bindings that grow trees share.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>
#include <string>
#include <vector>

#include "cpu/trees/grow.h"

namespace pyllm::bind {

namespace py = pybind11;

// Ctrl-C within a tree: Python's signal handlers run now and then; what they raise stops it.
class SignalCheck {
 public:
  void operator()() {
    const auto now = std::chrono::steady_clock::now();
    if (now < next_) return;
    next_ = now + std::chrono::milliseconds(50);
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }

 private:
  std::chrono::steady_clock::time_point next_;
};

inline void require_fitting(const trees::GrowOptions& options,
                            const std::vector<trees::Feature>& features) {
  if (!options.monotone.empty() && options.monotone.size() != features.size()) {
    throw py::value_error("monotone: expected one entry a feature");
  }
  for (size_t f = 0; f < options.monotone.size(); ++f) {
    if (options.monotone[f] != 0 && features[f].categorical) {
      throw py::value_error("monotone: feature " + std::to_string(f) + " is categorical");
    }
  }
}

}  // namespace pyllm::bind
