// Everything runs when it is queued, so what streams must wait for is only written down: tests read
// it through emu_runtime_log, and set how many devices, how much memory and which driver there are.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "cuda_runtime.h"
#include "memory.h"

namespace {

constexpr size_t kAlignment = 256;
constexpr int kMultiprocessors = 2;

struct FakeStream {
  int device;
};
struct Event {
  cudaStream_t recorded_on;
};
struct Allocation {
  size_t bytes;
  int device;
};

int devices = 2, current_device = 0, driver_version = 13000;
size_t memory_limit = size_t{1} << 30, in_use = 0;
cudaError_t last_error = cudaSuccess;
std::map<const char*, Allocation> allocations;  // by their first byte
std::string events;

cudaError_t fail(cudaError_t error) {
  last_error = error;
  return error;
}

void write_down(const char* what, cudaStream_t stream, cudaStream_t other) {
  char line[96];
  std::snprintf(line, sizeof line, "%s %lld %lld\n", what,
                static_cast<long long>(reinterpret_cast<intptr_t>(stream)),
                static_cast<long long>(reinterpret_cast<intptr_t>(other)));
  events += line;
}

}  // namespace

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
const char* cudaGetErrorString(cudaError_t) {
  return "an error of the emulated runtime";
}
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    default:
      return "cudaError";
  }
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = driver_version;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  if (driver_version < 13000) return fail(cudaErrorInsufficientDriver);
  if (devices == 0) return fail(cudaErrorNoDevice);
  *count = devices;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= devices) return fail(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {"emulated device", memory_limit, 8, 0};
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr, int) {
  *value = kMultiprocessors;
  return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  const auto* byte = static_cast<const char*>(p);
  const auto after = allocations.upper_bound(byte);
  if (after != allocations.begin()) {
    const auto& [first, allocation] = *std::prev(after);
    if (byte < first + allocation.bytes) {
      *attributes = {cudaMemoryTypeDevice, allocation.device};
      return cudaSuccess;
    }
  }
  *attributes = {cudaMemoryTypeUnregistered, 0};
  return cudaSuccess;
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  *device = static_cast<FakeStream*>(stream)->device;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  write_down("synchronize", stream, nullptr);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  write_down("wait", stream, static_cast<Event*>(event)->recorded_on);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new Event{};
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  static_cast<Event*>(event)->recorded_on = stream;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete static_cast<Event*>(event);
  return cudaSuccess;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  *pool = reinterpret_cast<cudaMemPool_t>(intptr_t{properties->location.id} + 1);
  return cudaSuccess;
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t) {
  return cudaSuccess;
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return cudaSuccess;
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr, void* value) {
  const uint64_t bytes = in_use;
  std::memcpy(value, &bytes, sizeof bytes);
  return cudaSuccess;
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  return cudaSuccess;
}
cudaError_t cudaMallocFromPoolAsync(void** p, size_t bytes, cudaMemPool_t pool, cudaStream_t) {
  if (bytes > memory_limit - in_use) return fail(cudaErrorMemoryAllocation);
  if (posix_memalign(p, kAlignment, bytes) != 0) return fail(cudaErrorMemoryAllocation);
  std::memset(*p, 0xFF, bytes);
  in_use += bytes;
  allocations[static_cast<char*>(*p)] = {bytes, static_cast<int>(intptr_t(pool)) - 1};
  emu::add_device_buffer(*p, bytes, true);
  return cudaSuccess;
}
cudaError_t cudaFreeAsync(void* p, cudaStream_t) {
  const auto found = allocations.find(static_cast<char*>(p));
  if (found == allocations.end()) return fail(cudaErrorInvalidValue);
  in_use -= found->second.bytes;
  allocations.erase(found);
  emu::remove_device_buffer(p);
  std::free(p);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t) {
  if (bytes > 0) std::memset(p, value, bytes);
  return cudaSuccess;
}

// For tests, through ctypes.
extern "C" {
void emu_runtime_set_devices(int count) {
  devices = count;
}
void emu_runtime_set_driver(int version) {
  driver_version = version;
}
void emu_runtime_set_memory_limit(size_t bytes) {
  memory_limit = bytes;
}
size_t emu_runtime_in_use() {
  return in_use;
}
void* emu_runtime_make_stream(int device) {
  return new FakeStream{device};
}
void emu_runtime_free_stream(void* stream) {
  delete static_cast<FakeStream*>(stream);
}
// The waits since the last call: "wait STREAM FOR" and "synchronize STREAM 0", a line each.
const char* emu_runtime_log() {
  static std::string taken;
  taken = std::exchange(events, {});
  return taken.c_str();
}
}
