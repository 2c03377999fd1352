// Uninitialised working memory that is needed once; the system has it back at scope's end.
#pragma once

#include <cstddef>
#include <utility>

namespace pyllm {

// As allocate (core/memory.h), past the cache. Throws std::bad_alloc.
void* allocate_once(size_t bytes);
void deallocate_once(void* block, size_t bytes) noexcept;

template <class T>
class Transient {
 public:
  Transient() = default;
  explicit Transient(size_t count)
      : data_(count ? static_cast<T*>(allocate_once(count * sizeof(T))) : nullptr), size_(count) {}
  Transient(Transient&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
  Transient& operator=(Transient&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Transient() {
    if (data_) deallocate_once(data_, size_ * sizeof(T));
  }

  T* data() const { return data_; }
  T& operator[](size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace pyllm
