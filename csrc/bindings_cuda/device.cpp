#include "bindings_cuda/device.h"

#include <map>
#include <mutex>
#include <new>
#include <stdexcept>

namespace pyllm::bind_cuda {
namespace {

constexpr const char* kNoDriver =
    "no NVIDIA driver was found (libcuda.so.1); install one, or move the arrays to the CPU";

std::string version_of(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

std::string why_no_driver() {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return kNoDriver;
  return "the NVIDIA driver supports CUDA " + version_of(driver) + ", this build needs " +
         version_of(runtime) + "; update the driver";
}

// One pool a device. It keeps what is freed: giving memory back at every synchronisation, which is
// the default, makes each step of a training loop map its memory anew.
cudaMemPool_t pool_of(int device) {
  static std::mutex mutex;
  static auto* pools = new std::map<int, cudaMemPool_t>;
  const std::lock_guard lock(mutex);
  if (const auto it = pools->find(device); it != pools->end()) return it->second;
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device;
  cudaMemPool_t pool = nullptr;
  check(cudaMemPoolCreate(&pool, &properties), "making a memory pool");
  uint64_t keep = UINT64_MAX;
  const cudaError_t error = cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep);
  if (error != cudaSuccess) {
    cudaMemPoolDestroy(pool);
    check(error, "setting up a memory pool");
  }
  return pools->emplace(device, pool).first->second;
}

// Python's MemoryError, with what was asked for.
class OutOfMemory : public std::bad_alloc {
 public:
  OutOfMemory(size_t bytes, int device)
      : message_("CUDA: no memory for " + std::to_string(bytes) + " bytes on device " +
                 std::to_string(device)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

}  // namespace

void check(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // an error that is not sticky must not surface in somebody else's call
  if (error == cudaErrorInsufficientDriver) throw std::runtime_error("CUDA: " + why_no_driver());
  throw std::runtime_error(std::string("CUDA: ") + doing + ": " + cudaGetErrorString(error) + " (" +
                           cudaGetErrorName(error) + ")");
}

int device_count() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess) return count;
  cudaGetLastError();
  if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice) return 0;
  check(error, "counting devices");
  return 0;
}

std::string describe() {
  int count = 0, driver = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    cudaGetLastError();
    if (error == cudaErrorInsufficientDriver) return "no: " + why_no_driver();
    return std::string("no: ") + cudaGetErrorString(error);
  }
  if (count == 0) return "no: the driver found no device";
  cudaDriverGetVersion(&driver);
  std::string text = "yes: ";
  for (int device = 0; device < count; ++device) {
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, device), "asking for a device's properties");
    text += std::string(device > 0 ? ", " : "") + properties.name + " (sm_" +
            std::to_string(properties.major) + std::to_string(properties.minor) + ", " +
            std::to_string(properties.totalGlobalMem >> 30) + " GiB)";
  }
  return text + ", driver for CUDA " + version_of(driver);
}

int multiprocessors(int device) {
  int count = 0;
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device),
        "asking for the number of multiprocessors");
  return count;
}

DeviceGuard::DeviceGuard(int device) {
  check(cudaGetDevice(&before_), "asking for the current device");
  if (device != before_) check(cudaSetDevice(device), "choosing a device");
}

DeviceGuard::~DeviceGuard() {
  cudaSetDevice(before_);
}

void wait(const Stream& later, const Stream& earlier) {
  if (later == earlier) return;
  cudaEvent_t event = nullptr;
  const DeviceGuard guard(earlier.device);
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  cudaError_t error = cudaEventRecord(event, earlier.handle());
  if (error == cudaSuccess && later.device != earlier.device) error = cudaSetDevice(later.device);
  if (error == cudaSuccess) error = cudaStreamWaitEvent(later.handle(), event, 0);
  cudaEventDestroy(event);  // freed once it has been reached
  check(error, "ordering two streams");
}

void require_on_device(const Stream& stream, const std::string& whose) {
  if (stream.number == kLegacyStream || stream.number == kPerThreadStream) return;
  int device = 0;
  check(cudaStreamGetDevice(stream.handle(), &device), "asking for a stream's device");
  if (device != stream.device) {
    throw std::invalid_argument(whose + " is on device " + std::to_string(stream.device) +
                                ", but the current stream belongs to device " +
                                std::to_string(device));
  }
}

std::shared_ptr<void> allocate(size_t bytes, const Stream& stream) {
  const DeviceGuard guard(stream.device);
  void* block = nullptr;
  const cudaError_t error = cudaMallocFromPoolAsync(&block, bytes > 0 ? bytes : 1,
                                                    pool_of(stream.device), stream.handle());
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw OutOfMemory(bytes, stream.device);
  }
  check(error, "allocating memory");
  return {block, [stream](void* p) { cudaFreeAsync(p, stream.handle()); }};
}

MemoryStats memory_stats(int device) {
  uint64_t in_use = 0, reserved = 0;
  const cudaMemPool_t pool = pool_of(device);
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &in_use), "reading a pool");
  check(cudaMemPoolGetAttribute(pool, cudaMemPoolAttrReservedMemCurrent, &reserved),
        "reading a pool");
  return {in_use, reserved};
}

void empty_cache(int device) {
  check(cudaMemPoolTrimTo(pool_of(device), 0), "giving memory back");
}

}  // namespace pyllm::bind_cuda
