// NVIDIA's occupancy calculator with the numbers of A100 and H100 in the place of a device.
//
//   occupancy 80 REGISTERS STATIC_SHARED DYNAMIC_SHARED THREADS    blocks a multiprocessor
#include <cuda_occupancy.h>

#include <cstdio>
#include <cstdlib>

namespace {

// Compute capabilities 8.0 and 9.0, from the CUDA C++ programming guide's table.
cudaOccDeviceProp device(int target) {
  cudaOccDeviceProp d{};
  d.computeMajor = target / 10;
  d.computeMinor = target % 10;
  d.maxThreadsPerBlock = 1024;
  d.maxThreadsPerMultiprocessor = 2048;
  d.regsPerBlock = d.regsPerMultiprocessor = 65536;
  d.warpSize = 32;
  d.sharedMemPerBlock = 48 << 10;
  d.sharedMemPerMultiprocessor = (target == 90 ? 228 : 164) << 10;
  d.sharedMemPerBlockOptin = (target == 90 ? 227 : 163) << 10;
  d.reservedSharedMemPerBlock = 1 << 10;
  d.numSms = target == 90 ? 132 : 108;
  return d;
}

}  // namespace

int main(int count, char** words) {
  if (count != 6) return EXIT_FAILURE;
  const cudaOccDeviceProp properties = device(std::atoi(words[1]));
  cudaOccFuncAttributes function{};
  function.maxThreadsPerBlock = 1024;
  function.numRegs = std::atoi(words[2]);
  function.sharedSizeBytes = std::strtoul(words[3], nullptr, 10);
  function.partitionedGCConfig = PARTITIONED_GC_OFF;
  function.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
  function.maxDynamicSharedSizeBytes = properties.sharedMemPerBlockOptin;
  cudaOccDeviceState state{};
  cudaOccResult result;
  const cudaOccError error = cudaOccMaxActiveBlocksPerMultiprocessor(
      &result, &properties, &function, &state, std::atoi(words[5]),
      std::strtoul(words[4], nullptr, 10));
  if (error != CUDA_OCC_SUCCESS) return EXIT_FAILURE;
  std::printf("%d\n", result.activeBlocksPerMultiprocessor);
  return EXIT_SUCCESS;
}
