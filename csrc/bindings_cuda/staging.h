// Small arrays that cross to a device, or back, in one copy.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "bindings_cuda/device.h"

namespace pyllm::bind_cuda {

constexpr size_t kStagingAlignment = 16;

class Upload {
 public:
  // `device` must stay where it is until send() sets it; the memory lives as long as this object,
  // in stream order.
  template <class T>
  void add(const T*& device, const std::vector<T>& values) {
    const size_t offset = bytes_.size(), size = values.size() * sizeof(T);
    bytes_.resize((offset + size + kStagingAlignment - 1) / kStagingAlignment * kStagingAlignment);
    if (size > 0) std::memcpy(bytes_.data() + offset, values.data(), size);
    set_.push_back([&device, offset](const char* base) {
      device = reinterpret_cast<const T*>(base + offset);
    });
  }
  void send(const Stream& stream);
  // The memory, for those who keep it longer.
  std::shared_ptr<void> memory() const { return memory_; }

 private:
  std::vector<char> bytes_;
  std::vector<std::function<void(const char*)>> set_;
  std::shared_ptr<void> memory_;
};

class Download {
 public:
  // Room for `count` on the device, whose address make() puts into `device`; fetch() fills `host`.
  template <class T>
  void add(T*& device, int64_t count, std::vector<T>& host) {
    const size_t offset = size_, size = static_cast<size_t>(count) * sizeof(T);
    size_ = (offset + size + kStagingAlignment - 1) / kStagingAlignment * kStagingAlignment;
    set_.push_back([&device, offset](char* base) { device = reinterpret_cast<T*>(base + offset); });
    take_.push_back([&host, offset, count, size](const char* base) {
      host.resize(static_cast<size_t>(count));
      if (size > 0) std::memcpy(host.data(), base + offset, size);
    });
  }
  void make(const Stream& stream);
  // Waits for the work before it.
  void fetch(const Stream& stream);

 private:
  size_t size_ = 0;
  std::vector<std::function<void(char*)>> set_;
  std::vector<std::function<void(const char*)>> take_;
  std::shared_ptr<void> memory_;
};

}  // namespace pyllm::bind_cuda
