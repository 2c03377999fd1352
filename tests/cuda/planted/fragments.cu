// One mma and one ldmatrix by themselves, so that a test can look at every register.
#include "device.cuh"
#include "dtype.h"
#include "fragments.h"

using namespace pyllm;

template <class T>
__global__ void one_mma(FragmentArgs f) {
  const int lane = threadIdx.x;
  uint32_t a[4], b[2];
  float d[4] = {};
  for (int i = 0; i < 4; ++i) {
    a[i] = dev::pack2<T>(dev::ldg(f.a + lane * 8 + 2 * i), dev::ldg(f.a + lane * 8 + 2 * i + 1));
  }
  for (int i = 0; i < 2; ++i) {
    b[i] = dev::pack2<T>(dev::ldg(f.b + lane * 4 + 2 * i), dev::ldg(f.b + lane * 4 + 2 * i + 1));
  }
  dev::mma_m16n8k16<T>(d, a, b);
  for (int i = 0; i < 4; ++i) dev::stg(f.d + lane * 4 + i, d[i]);
}

__global__ void one_ldmatrix(TileArgs t) {
  PYLLM_SHARED(uint32_t, s, 128);
  const int lane = threadIdx.x;
  for (int i = lane; i < 128; i += 32) {
    dev::sts(s + i, dev::ldg(reinterpret_cast<const uint32_t*>(t.tiles) + i));
  }
  __syncthreads();
  uint32_t r[4];
  if (t.transpose) {
    dev::ldmatrix_x4_trans(r, s + 4 * lane);
  } else {
    dev::ldmatrix_x4(r, s + 4 * lane);
  }
  for (int i = 0; i < 4; ++i) {
    dev::stg(reinterpret_cast<uint32_t*>(t.registers) + lane * 4 + i, r[i]);
  }
}

extern "C" cudaError_t fragment_mma(const FragmentArgs* args, cudaStream_t stream) {
  return args->dtype == cuda::kFloat16
             ? PYLLM_LAUNCH(one_mma<dev::half_t>, dim3(1), dim3(32), 0, stream, *args)
             : PYLLM_LAUNCH(one_mma<dev::bf16_t>, dim3(1), dim3(32), 0, stream, *args);
}
extern "C" cudaError_t fragment_ldmatrix(const TileArgs* args, cudaStream_t stream) {
  return PYLLM_LAUNCH(one_ldmatrix, dim3(1), dim3(32), 0, stream, *args);
}
