#include "cpu/ceilings.h"

#include <chrono>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "core/scratch.h"

namespace pyllm::bind {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Traffic parse_traffic(const std::string& name) {
  if (name == "read") return Traffic::read;
  if (name == "copy") return Traffic::copy;
  if (name == "triad") return Traffic::triad;
  if (name == "update") return Traffic::update;
  throw py::value_error("traffic: expected 'read', 'copy', 'triad' or 'update', got '" + name +
                        "'");
}

// Passes of one kind of traffic over one working set, with the stores that are the faster here.
class BandwidthProbe {
 public:
  BandwidthProbe(const std::string& traffic, int64_t working_set)
      : traffic_(parse_traffic(traffic)), n_(working_set / traffic_bytes(traffic_)) {
    if (traffic_ == Traffic::update) n_ *= 2;  // one array, read and written
    if (n_ < 1) throw py::value_error("working_set: expected at least 12 bytes");
    const py::gil_scoped_release release;
    if (traffic_ != Traffic::read) a_ = filled();
    if (traffic_ != Traffic::update) b_ = filled();
    if (traffic_ == Traffic::triad) c_ = filled();
    if (traffic_ == Traffic::copy || traffic_ == Traffic::triad) {
      const double plain = best(false);
      streamed_ = best(true) < plain;
    }
  }

  void pass() {
    const py::gil_scoped_release release;
    pass(streamed_);
  }
  int64_t bytes() const { return n_ * traffic_bytes(traffic_); }  // a pass
  bool streamed() const { return streamed_; }

 private:
  // Numbers that differ: some machines move zeros faster.
  Scratch<float> filled() const {
    Scratch<float> block(static_cast<size_t>(n_));
    uint32_t state = 1;
    for (int64_t i = 0; i < n_; ++i) {
      state = state * 1664525u + 1013904223u;
      block[static_cast<size_t>(i)] = static_cast<float>(state >> 8) * 0x1p-24f;
    }
    return block;
  }
  void pass(bool streamed) {
    traffic_pass(TrafficArgs{traffic_, streamed, a_.data(), b_.data(), c_.data(), n_, &sink_});
  }
  double best(bool streamed) {
    double least = 1e9;
    for (int i = 0; i < 6; ++i) {
      const auto start = std::chrono::steady_clock::now();
      pass(streamed);
      least = std::min(least, seconds_since(start));
    }
    return least;
  }

  Traffic traffic_;
  int64_t n_;
  bool streamed_ = false;
  float sink_ = 0;
  Scratch<float> a_, b_, c_;
};

double peak_flops() {
  double best = 0, flops = 0;
  float sink = 0;
  const py::gil_scoped_release release;
  for (int i = 0; i < 5; ++i) {
    const auto start = std::chrono::steady_clock::now();
    fma_peak(PeakArgs{2'000'000, &flops, &sink});
    best = std::max(best, flops / seconds_since(start));
  }
  return best;
}

}  // namespace

void bind_ceilings(py::module_& m) {
  py::class_<BandwidthProbe>(m, "BandwidthProbe")
      .def(py::init<const std::string&, int64_t>(), py::arg("traffic"), py::arg("working_set"))
      .def("__call__", py::overload_cast<>(&BandwidthProbe::pass))
      .def_property_readonly("bytes", &BandwidthProbe::bytes)
      .def_property_readonly("streamed", &BandwidthProbe::streamed);
  m.def("measure_peak_flops", &peak_flops);
}

}  // namespace pyllm::bind
