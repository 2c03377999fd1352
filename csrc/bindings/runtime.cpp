// Threads, instruction set, allocator and BLAS, as the rest of pyllm sees them.
#include <pybind11/stl.h>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "core/cache_size.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "cpu/blas.h"

namespace pyllm::bind {

namespace py = pybind11;

void bind_runtime(py::module_& m) {
  set_blas_single_threaded();
  m.def("num_threads", &num_threads);
  m.def(
      "set_num_threads",
      [](int n) {
        if (n < 1) {
          throw py::value_error("n: expected a thread count of at least 1, got " +
                                std::to_string(n));
        }
        set_num_threads(n);
      },
      py::arg("n"));
  m.def("isa", [] { return name_of(current_isa()); });
  m.def("set_isa", &set_isa, py::arg("name"));
  m.def("available_isas", &available_isas);
  m.def("blas_config", &blas_config);
  m.def("memory_stats", [] {
    const MemoryStats s = memory_stats();
    py::dict d;
    d["in_use"] = s.in_use;
    d["cached"] = s.cached;
    d["peak_in_use"] = s.peak_in_use;
    d["system_allocations"] = s.system_calls;
    return d;
  });
  m.def(
      "empty_like",
      [](py::handle object, const std::vector<int64_t>& shape) {
        const Input like(object, "like");
        for (const int64_t n : shape) {
          if (n < 0) throw py::value_error("shape: expected no negative size");
        }
        if (shape.size() > kMaxDims) throw py::value_error("shape: too many axes");
        return make_output(like, shape, like->dtype).object;
      },
      py::arg("like"), py::arg("shape"));
  m.def("last_level_cache", &last_level_cache);
  m.def("set_last_level_cache", &set_last_level_cache, py::arg("bytes"));
  m.def("reset_peak_memory", &reset_peak_memory);
  m.def("empty_cache", &empty_cache);
}

}  // namespace pyllm::bind
