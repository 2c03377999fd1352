#include "cpu/ceilings.h"

#include <chrono>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "core/memory.h"

namespace pyllm::bind {
namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double bandwidth(int64_t bytes_per_array) {
  if (bytes_per_array < 4) throw py::value_error("bytes_per_array: expected at least 4");
  const int64_t n = bytes_per_array / 4;
  const auto block = [&] {
    return std::shared_ptr<float>(static_cast<float*>(allocate(n * 4)), deallocate);
  };
  const auto a = block(), b = block(), c = block();
  std::fill_n(b.get(), n, 1.0f);
  std::fill_n(c.get(), n, 2.0f);
  double best = 0;
  const py::gil_scoped_release release;
  for (int i = 0; i < 6; ++i) {
    const auto start = std::chrono::steady_clock::now();
    triad(BandwidthArgs{a.get(), b.get(), c.get(), n});
    best = std::max(best, 12.0 * static_cast<double>(n) / seconds_since(start));
  }
  return best;
}

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
  m.def("measure_bandwidth", &bandwidth, py::arg("bytes_per_array") = int64_t{256} << 20);
  m.def("measure_peak_flops", &peak_flops);
}

}  // namespace pyllm::bind
