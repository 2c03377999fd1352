// Beside a table that scripts/embed_triton.py wrote, in a library of its own.
#include "bindings_cuda/embedded_table.h"

extern "C" void emu_embedded_kernels(const pyllm::bind_cuda::embedded::Kernel** first,
                                     size_t* count) {
  const auto all = pyllm::bind_cuda::embedded::kernels();
  *first = all.data(), *count = all.size();
}
