#include "bindings_cuda/driver_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <type_traits>

namespace pyllm::bind_cuda::driver {
namespace {

Library load() {
  const char* given = std::getenv("PYLLM_CUDA_DRIVER");
  Library found;
  found.path = given ? given : "libcuda.so.1";
  void* opened = dlopen(found.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    throw std::runtime_error("CUDA: no NVIDIA driver was found (" + found.path +
                             "); install one, or move the arrays to the CPU");
  }
  const auto take = [&](auto& function, const char* name) {
    void* symbol = dlsym(opened, name);
    if (symbol == nullptr) {
      dlclose(opened);
      throw std::runtime_error("CUDA: " + found.path + " has no " + name);
    }
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(symbol);
  };
  take(found.error_string, "cuGetErrorString");
  take(found.current_context, "cuCtxGetCurrent");
  take(found.current_device, "cuCtxGetDevice");
  take(found.device_attribute, "cuDeviceGetAttribute");
  take(found.module_load, "cuModuleLoadData");
  take(found.module_unload, "cuModuleUnload");
  take(found.module_function, "cuModuleGetFunction");
  take(found.function_set, "cuFuncSetAttribute");
  take(found.launch, "cuLaunchKernel");
  return found;
}

}  // namespace

const Library& library() {
  static std::mutex mutex;
  static const Library* loaded = nullptr;  // a failure is tried again
  const std::lock_guard lock(mutex);
  if (loaded == nullptr) loaded = new Library(load());
  return *loaded;
}

void check(Status status, const std::string& doing) {
  if (status == 0) return;
  const char* words = nullptr;
  if (library().error_string(status, &words) != 0 || words == nullptr) words = "unknown error";
  throw std::runtime_error("CUDA driver: " + doing + ": " + words + " (" + std::to_string(status) +
                           ")");
}

}  // namespace pyllm::bind_cuda::driver
