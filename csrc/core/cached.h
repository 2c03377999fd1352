// Vectors on the caching allocator: what one tree has used, the next one needs no new pages for.
#pragma once

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
  void deallocate(T* block, size_t) noexcept { pyllm::deallocate(block); }

  friend bool operator==(const CachedAllocator&, const CachedAllocator&) { return true; }
};

template <class T>
using CachedVector = std::vector<T, CachedAllocator<T>>;

}  // namespace pyllm
