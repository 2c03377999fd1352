#include "bindings_cuda/embedded.h"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

#include "bindings_cuda/driver_library.h"
#include "dtype.h"

namespace pyllm::bind_cuda::embedded {
namespace {

constexpr int64_t kAssumed = 16;         // what Triton specialises integers and addresses for
constexpr uint32_t kUnasked = 48 << 10;  // shared bytes that need no permission
constexpr int64_t kMaxGridX = 2147483647, kMaxGrid = 65535;

struct Device {
  driver::Context context;
  int capability, shared;
};

Device current_device() {
  const driver::Library& cuda = driver::library();
  Device device{};
  driver::check(cuda.current_context(&device.context), "asking for the current context");
  if (device.context == nullptr) {  // a thread that has not used the runtime yet
    int number = 0;
    check(cudaGetDevice(&number), "asking for the current device");
    check(cudaSetDevice(number), "choosing a device");
    driver::check(cuda.current_context(&device.context), "asking for the current context");
  }
  int number = 0, major = 0, minor = 0;
  driver::check(cuda.current_device(&number), "asking for the current device");
  const auto attribute = [&](int* value, int which) {
    driver::check(cuda.device_attribute(value, which, number), "asking for a device's properties");
  };
  attribute(&major, driver::kMajor), attribute(&minor, driver::kMinor);
  attribute(&device.shared, driver::kSharedBytesOnRequest);
  device.capability = major * 10 + minor;
  return device;
}

// Code for 8.0 runs on all of 8.x. Triton compiles for 9.0 and 10.0 with the instructions that only
// these have (sm_90a, sm_100a), so that code runs nowhere else.
bool runs_on(const Image& image, int capability) {
  if (image.capability / 10 != capability / 10) return false;
  return image.capability / 10 < 9 ? image.capability <= capability
                                   : image.capability == capability;
}

const Image* image_for(const Kernel& kernel, int capability) {
  for (const Image& image : kernel.images) {
    if (runs_on(image, capability)) return &image;
  }
  return nullptr;
}

// Loaded once a context and kept for as long as the process lives.
driver::Function load(const Kernel& kernel, const Image& image, driver::Context context) {
  static std::mutex mutex;
  static auto* loaded = new std::map<std::pair<driver::Context, const void*>, driver::Function>;
  const std::lock_guard lock(mutex);
  const std::pair key{context, image.code};
  if (const auto it = loaded->find(key); it != loaded->end()) return it->second;
  const driver::Library& cuda = driver::library();
  const std::string name = kernel.function;
  driver::Module module = nullptr;
  driver::check(cuda.module_load(&module, image.code), "loading " + name);
  driver::Function function = nullptr;
  driver::Status status = cuda.module_function(&function, module, kernel.function);
  if (status == 0 && image.shared > kUnasked) {
    status =
        cuda.function_set(function, driver::kDynamicSharedBytes, static_cast<int>(image.shared));
  }
  if (status != 0) {
    cuda.module_unload(module);
    driver::check(status, "preparing " + name);
  }
  return loaded->emplace(key, function).first->second;
}

bool multiple(uintptr_t value) {
  return value % kAssumed == 0;
}

}  // namespace

Arguments& Arguments::pointer(const char* name, const void* p, const char* element) {
  values_.push_back({name, p ? Kind::pointer : Kind::absent, element, p});
  return *this;
}
Arguments& Arguments::integer(const char* name, int64_t value) {
  values_.push_back({name, Kind::int64, "", nullptr, value});
  return *this;
}
Arguments& Arguments::number(const char* name, double value) {
  values_.push_back({name, Kind::float32, "", nullptr, 0, static_cast<float>(value)});
  return *this;
}
Arguments& Arguments::word(const char* name, const char* text) {
  values_.push_back({name, Kind::word, text});
  return *this;
}

const Arguments::Value* Arguments::find(std::string_view name) const {
  const auto it = std::ranges::find(values_, name, &Value::name);
  return it == values_.end() ? nullptr : &*it;
}

bool Arguments::meet(const Parameter& parameter) const {
  const Value* value = find(parameter.name);
  switch (parameter.kind) {
    case Kind::absent:
      return value == nullptr || value->kind == Kind::absent;
    case Kind::constant:
      return value == nullptr || (value->kind == Kind::int64 && value->integer == parameter.value);
    case Kind::word:
      return value == nullptr || (value->kind == Kind::word && value->text == parameter.text);
    default:
      break;
  }
  if (value == nullptr) {
    throw std::logic_error(std::string("no argument for ") + parameter.name);
  }
  switch (parameter.kind) {
    case Kind::pointer:
      return value->kind == Kind::pointer && value->text == parameter.text &&
             !(parameter.divisible && !multiple(reinterpret_cast<uintptr_t>(value->address)));
    case Kind::int32:
      if (value->integer != static_cast<int32_t>(value->integer)) return false;
      [[fallthrough]];
    case Kind::int64:
    case Kind::uint64:
      return value->kind == Kind::int64 &&
             !(parameter.divisible && !multiple(static_cast<uintptr_t>(value->integer)));
    case Kind::uint32:
      return value->kind == Kind::int64 && value->integer == static_cast<uint32_t>(value->integer);
    default:
      return value->kind == Kind::float32;
  }
}

Launch::Launch(const char* function, const Arguments& arguments) : arguments_(arguments) {
  const Device device = current_device();
  bool compiled = false;
  for (const Kernel& kernel : kernels()) {
    const Image* image = image_for(kernel, device.capability);
    compiled |= image != nullptr;
    if (image == nullptr || std::string_view(kernel.function) != function) continue;
    if (image->shared > static_cast<uint32_t>(device.shared)) continue;
    if (!std::ranges::all_of(kernel.parameters,
                             [&](const Parameter& p) { return arguments.meet(p); })) {
      continue;
    }
    kernel_ = &kernel, image_ = image;
    return;
  }
  if (!compiled) {
    throw std::runtime_error(
        "the embedded Triton kernels are for compute capabilities 8.x, 9.0 and 10.0, this device "
        "has " +
        std::to_string(device.capability / 10) + "." + std::to_string(device.capability % 10) +
        "; leave out use_backend(\"triton\")");
  }
}

int64_t Launch::constant(std::string_view name) const {
  for (const Parameter& p : kernel_->parameters) {
    if (p.kind == Kind::constant && p.name == name) return p.value;
  }
  throw std::logic_error(std::string(kernel_->function) + " has no constant " + std::string(name));
}

void Launch::operator()(int64_t grid_x, cudaStream_t stream, int64_t grid_y, int64_t grid_z) const {
  if (grid_x > kMaxGridX || grid_y > kMaxGrid || grid_z > kMaxGrid) {
    throw std::runtime_error(std::string(kernel_->function) + ": the array is too large");
  }
  std::vector<Arguments::Value> values;  // the driver reads each where it lies, by its own size
  values.reserve(kernel_->parameters.size());
  std::vector<void*> packed;
  for (const Parameter& parameter : kernel_->parameters) {
    if (parameter.kind < Kind::pointer) continue;
    Arguments::Value& value = values.emplace_back(*arguments_.find(parameter.name));
    switch (parameter.kind) {
      case Kind::pointer:
        packed.push_back(&value.address);
        break;
      case Kind::float32:
        packed.push_back(&value.number);
        break;
      default:  // of 32 bits: the low half comes first, on every host that CUDA has
        packed.push_back(&value.integer);
    }
  }
  const void* scratch = nullptr;  // Triton's own memory, global and for profiling: none is used
  packed.push_back(&scratch), packed.push_back(&scratch);
  const Device device = current_device();
  const driver::Function function = load(*kernel_, *image_, device.context);
  const auto size = [](int64_t n) { return static_cast<unsigned>(n); };
  driver::check(
      driver::library().launch(function, size(grid_x), size(grid_y), size(grid_z), image_->threads,
                               1, 1, image_->shared, stream, packed.data(), nullptr),
      std::string("launching ") + kernel_->function);
}

const char* element(int32_t dtype) {
  switch (dtype) {
    case cuda::kFloat16:
      return "fp16";
    case cuda::kBFloat16:
      return "bf16";
    default:
      return "fp32";
  }
}

}  // namespace pyllm::bind_cuda::embedded
