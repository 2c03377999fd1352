// The CUDA runtime with exceptions: errors, the current device, streams, memory in stream order.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <memory>
#include <string>

namespace pyllm::bind_cuda {

// Throws std::runtime_error: what was being done, what CUDA says, and for a missing or old driver
// what to do about it.
void check(cudaError_t error, const char* doing);

// 0 where there is no driver or no device.
int device_count();
// "yes: NVIDIA H100 ...", or "no: " and why not.
std::string describe();
int multiprocessors(int device);

// Makes a device current for as long as it lives.
class DeviceGuard {
 public:
  explicit DeviceGuard(int device);
  ~DeviceGuard();
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int before_;
};

// Legacy default stream and per-thread default stream, as DLPack and CUDA number them.
constexpr intptr_t kLegacyStream = 1, kPerThreadStream = 2;

// A stream by its number in DLPack and __cuda_array_interface__: 1, 2 or a handle.
struct Stream {
  intptr_t number = kLegacyStream;
  int device = 0;

  cudaStream_t handle() const { return reinterpret_cast<cudaStream_t>(number); }
  bool operator==(const Stream&) const = default;
};

// Work queued on `later` from now on starts after what is on `earlier` now.
void wait(const Stream& later, const Stream& earlier);

// Throws std::invalid_argument if a stream that has a handle belongs to another device.
void require_on_device(const Stream& stream, const std::string& whose);

// Memory of a pool of our own, kept for reuse; freed in the order of `stream`. Throws
// std::bad_alloc.
std::shared_ptr<void> allocate(size_t bytes, const Stream& stream);

struct MemoryStats {
  size_t in_use, reserved;
};
MemoryStats memory_stats(int device);
void empty_cache(int device);

}  // namespace pyllm::bind_cuda
