// Uninitialised working memory of a kernel, from the caching allocator; given back at scope's end.
#pragma once

#include <utility>

#include "core/memory.h"

namespace pyllm {

template <class T>
class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(size_t count)
      : data_(count ? static_cast<T*>(allocate(count * sizeof(T))) : nullptr) {}
  Scratch(Scratch&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~Scratch() {
    if (data_) deallocate(data_);
  }

  T* data() const { return data_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
};

}  // namespace pyllm
