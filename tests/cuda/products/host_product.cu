#include "host_product.h"
#include "launch.cuh"

extern "C" cudaError_t pyllm_cuda_linear_cross_entropy(const LinearCrossEntropy*,
                                                       CudaProductFunction, CudaLossFunction, void*,
                                                       cudaStream_t);

namespace {

using namespace pyllm;

float element(const void* matrix, int32_t dtype, int64_t at) {
  float value = NAN;
  cuda::with_type(dtype, [&](auto sample) {
    value = dev::to_float(static_cast<const decltype(sample)*>(matrix)[at]);
    return cudaSuccess;
  });
  return value;
}

int host_product(void*, const CudaProduct* product, void*) {
  const CudaProduct& p = *product;
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      double sum = 0;
      for (int64_t k = 0; k < p.k; ++k) {
        const int64_t a = p.a_transposed ? k * p.a_row_stride + i : i * p.a_row_stride + k;
        const int64_t b = p.b_transposed ? j * p.b_row_stride + k : k * p.b_row_stride + j;
        sum += double{element(p.a, p.dtype, a)} * element(p.b, p.dtype, b);
      }
      const int64_t at = i * p.c_row_stride + j;
      // As in BLAS, what c holds is not looked at where beta is 0.
      float value = *p.alpha * static_cast<float>(sum);
      if (*p.beta != 0) value += *p.beta * element(p.c, p.c_dtype, at);
      cuda::with_type(p.c_dtype, [&](auto sample) {
        using T = decltype(sample);
        static_cast<T*>(p.c)[at] = dev::from_float<T>(value);
        return cudaSuccess;
      });
    }
  }
  return cudaSuccess;
}

}  // namespace

extern "C" cudaError_t host_linear_cross_entropy(const LinearCrossEntropy* args,
                                                 cudaStream_t stream) {
  return pyllm_cuda_linear_cross_entropy(args, host_product, nullptr, nullptr, stream);
}
