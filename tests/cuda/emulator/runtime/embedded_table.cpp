// The table of embedded Triton kernels, for an emulated module that is built once: from the library
// that $PYLLM_EMULATED_TRITON names at the first use, else empty.
#include "bindings_cuda/embedded_table.h"

#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>

namespace pyllm::bind_cuda::embedded {
namespace {

std::span<const Kernel> load() {
  const char* path = std::getenv("PYLLM_EMULATED_TRITON");
  if (path == nullptr) return {};
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  void* symbol = library ? dlsym(library, "emu_embedded_kernels") : nullptr;
  if (symbol == nullptr) throw std::runtime_error(dlerror());
  const Kernel* first = nullptr;
  size_t count = 0;
  reinterpret_cast<void (*)(const Kernel**, size_t*)>(symbol)(&first, &count);
  return {first, count};
}

}  // namespace

std::span<const Kernel> kernels() {
  static const std::span<const Kernel> loaded = load();
  return loaded;
}

}  // namespace pyllm::bind_cuda::embedded
