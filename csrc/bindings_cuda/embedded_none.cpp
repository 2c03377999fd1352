// In place of the table where PYLLM_TRITON_AOT is OFF.
#include "bindings_cuda/embedded_table.h"

namespace pyllm::bind_cuda::embedded {

std::span<const Kernel> kernels() {
  return {};
}

}  // namespace pyllm::bind_cuda::embedded
