#include "bindings_cuda/cublaslt_library.h"

#include <dlfcn.h>
#include <pybind11/pybind11.h>

#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace pyllm::bind_cuda::lt {
namespace {

namespace py = pybind11;

// In the order they are tried. A bare name finds what is loaded already, torch's for instance.
std::vector<std::string> candidates() {
  if (const char* given = std::getenv("PYLLM_CUBLASLT")) return {given};
  std::vector<std::string> paths;
  const char* const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
  for (const char* name : names) paths.emplace_back(name);
  for (const py::handle entry : py::module_::import("sys").attr("path")) {
    if (!py::isinstance<py::str>(entry)) continue;
    for (const char* folder : {"nvidia/cu13/lib", "nvidia/cublas/lib", "torch/lib"}) {
      for (const char* name : names) {
        paths.push_back(std::string(py::str(entry)) + "/" + folder + "/" + name);
      }
    }
  }
  return paths;
}

Library load() {
  void* opened = nullptr;
  Library found;
  for (const std::string& path : candidates()) {
    opened = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    found.path = path;
    if (opened != nullptr) break;
  }
  if (opened == nullptr) {
    const char* given = std::getenv("PYLLM_CUBLASLT");
    throw std::runtime_error(
        std::string("matrix products on CUDA need cuBLASLt, which was not found") +
        (given ? " at PYLLM_CUBLASLT=" + std::string(given) : "") +
        "; pip install nvidia-cublas, or set PYLLM_CUBLASLT to libcublasLt.so.13");
  }
  const auto take = [&](auto& function, const char* name) {
    void* symbol = dlsym(opened, name);
    if (symbol == nullptr) throw std::runtime_error(found.path + " has no " + std::string(name));
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  take(found.get_version, "cublasLtGetVersion");
  take(found.status_string, "cublasLtGetStatusString");
  take(found.create, "cublasLtCreate");
  take(found.descriptor_create, "cublasLtMatmulDescCreate");
  take(found.descriptor_set, "cublasLtMatmulDescSetAttribute");
  take(found.descriptor_destroy, "cublasLtMatmulDescDestroy");
  take(found.layout_create, "cublasLtMatrixLayoutCreate");
  take(found.layout_set, "cublasLtMatrixLayoutSetAttribute");
  take(found.layout_destroy, "cublasLtMatrixLayoutDestroy");
  take(found.preference_create, "cublasLtMatmulPreferenceCreate");
  take(found.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  take(found.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  take(found.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  take(found.matmul, "cublasLtMatmul");
  return found;
}

}  // namespace

const Library& library() {
  static const Library* loaded = nullptr;  // under the GIL; a failure is tried again
  if (loaded == nullptr) loaded = new Library(load());
  return *loaded;
}

void check(Status status, const char* doing) {
  if (status == 0) return;
  throw std::runtime_error(std::string("cuBLASLt: ") + doing + ": " +
                           library().status_string(status));
}

}  // namespace pyllm::bind_cuda::lt
