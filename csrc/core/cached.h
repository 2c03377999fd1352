// Vectors on the caching allocator: what one tree has used, the next one needs no new pages for.
// Elements that are given no value are not initialised.
#pragma once

#include <new>
#include <utility>
#include <vector>

#include "core/memory.h"

namespace pyllm {

template <class T>
struct CachedAllocator {
  using value_type = T;

  CachedAllocator() = default;
  template <class U>
  CachedAllocator(const CachedAllocator<U>&) {}  // NOLINT(google-explicit-constructor): rebinding

  T* allocate(size_t count) { return static_cast<T*>(pyllm::allocate(count * sizeof(T))); }
  template <class U>
  void construct(U* place) {
    ::new (static_cast<void*>(place)) U;
  }
  template <class U, class... Args>
  void construct(U* place, Args&&... args) {
    ::new (static_cast<void*>(place)) U(std::forward<Args>(args)...);
  }
  void deallocate(T* block, size_t) noexcept { pyllm::deallocate(block); }

  friend bool operator==(const CachedAllocator&, const CachedAllocator&) { return true; }
};

template <class T>
using CachedVector = std::vector<T, CachedAllocator<T>>;

}  // namespace pyllm
