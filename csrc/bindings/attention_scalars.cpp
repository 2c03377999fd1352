#include "bindings/attention_scalars.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace pyllm::bind {
namespace {

constexpr int64_t kUnlimitedSide = INT64_MAX / 4;

[[noreturn]] void fail(const std::string& message) {
  throw py::value_error(message);
}

double number(py::handle object, const char* name) {
  const double value = PyFloat_AsDouble(object.ptr());
  if (value == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    throw py::type_error(std::string(name) + ": expected a number or None, got " +
                         std::string(py::str(py::type::of(object).attr("__name__"))));
  }
  return value;
}

// One side of a window: None or -1 is unlimited.
int64_t window_edge(py::handle edge) {
  if (edge.is_none()) return kUnlimitedSide;
  if (!PyLong_Check(edge.ptr()) && !PyIndex_Check(edge.ptr())) {
    throw py::type_error("window: expected (left, right), each a whole number or None");
  }
  const auto value = PyLong_AsLongLong(py::int_(py::reinterpret_borrow<py::object>(edge)).ptr());
  if (value == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    fail("window: a side is out of range");
  }
  if (value < -1) {
    fail("window: expected sides of at least 0 (or None), got " + std::to_string(value));
  }
  return value == -1 ? kUnlimitedSide : std::min<int64_t>(value, kUnlimitedSide);
}

}  // namespace

AttentionScalars::AttentionScalars(py::handle scale_given, py::handle softcap_given,
                                   double dropout_given, py::handle window, bool causal,
                                   int64_t head_dim)
    : scale(scale_given.is_none() ? 1.0 / std::sqrt(double(head_dim))
                                  : number(scale_given, "scale")),
      dropout_p(dropout_given),
      left(kUnlimitedSide),
      right(kUnlimitedSide) {
  if (!std::isfinite(scale)) fail("scale: expected a finite number");
  if (!softcap_given.is_none()) {
    softcap = number(softcap_given, "softcap");
    if (!(softcap > 0) || std::isinf(softcap)) {
      fail("softcap: expected a positive finite number, got " + std::to_string(softcap));
    }
  }
  if (!(dropout_p >= 0 && dropout_p < 1)) {
    fail("dropout_p: expected 0 <= p < 1, got " + std::to_string(dropout_p));
  }
  if (!window.is_none()) {
    if (!py::isinstance<py::tuple>(window) && !py::isinstance<py::list>(window)) {
      throw py::type_error("window: expected (left, right) or None");
    }
    const auto pair = py::reinterpret_borrow<py::sequence>(window);
    if (pair.size() != 2) fail("window: expected two sides, got " + std::to_string(pair.size()));
    left = window_edge(pair[0]);
    right = window_edge(pair[1]);
  }
  if (causal) right = 0;
}

}  // namespace pyllm::bind
