// Uninitialised memory that grows by moving its pages, where the system can, not what is in them.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <type_traits>
#include <utility>

namespace pyllm {

// realloc, with huge pages asked for. Throws std::bad_alloc; the block is then as it was.
void* resize_block(void* block, size_t bytes);

template <class T>
class Growable {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  Growable() = default;
  Growable(const Growable&) = delete;
  Growable& operator=(const Growable&) = delete;
  ~Growable() { std::free(data_); }

  void resize(size_t count) { data_ = static_cast<T*>(resize_block(data_, count * sizeof(T))); }
  T* data() const { return data_; }
  // The block, for std::free.
  T* release() { return std::exchange(data_, nullptr); }

 private:
  T* data_ = nullptr;
};

}  // namespace pyllm
