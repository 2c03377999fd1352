#include "core/growable.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <new>

namespace pyllm {

void* resize_block(void* block, size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  void* const resized = std::realloc(block, std::max<size_t>(bytes, 1));
  if (!resized) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  const auto begin = reinterpret_cast<uintptr_t>(resized);
  const uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const uintptr_t end = (begin + bytes) / kHugePage * kHugePage;
  if (first < end) madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
  return resized;
}

}  // namespace pyllm
