// Kernels with what no kernel of ours may have, and a right one, to see that the checks can tell.
#include "device.cuh"

namespace pyllm::cuda {

__global__ void planted_right(const float* x, float* y) {
  using Four = dev::Vec<float, 4>;
  const int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  Four v = dev::ldg(reinterpret_cast<const Four*>(x) + i);
  for (int k = 0; k < 4; ++k) v.v[k] += 1.0f;
  dev::stg(reinterpret_cast<Four*>(y) + i, v);
}

// 16 bytes a thread, an element at a time.
__global__ void planted_narrow(const float* x, float* y) {
  const int64_t first = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 4;
  for (int k = 0; k < 4; ++k) dev::stg(y + first + k, dev::ldg(x + first + k) + 1.0f);
}

// An array whose place in registers no instruction can name.
__global__ void planted_local(const float* x, float* y, int which) {
  float held[16];
  for (int k = 0; k < 16; ++k) held[k] = dev::ldg(x + k * blockDim.x + threadIdx.x);
  for (int k = 0; k < 16; ++k) held[(k * which) % 16] += held[which];
  dev::stg(y + threadIdx.x, held[which]);
}

// A literal that makes the product a double.
__global__ void planted_double(const float* x, float* y) {
  dev::stg(y + threadIdx.x, static_cast<float>(dev::ldg(x + threadIdx.x) * 0.1));
}

}  // namespace pyllm::cuda
