#include "core/memory.h"

#include <pthread.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

#include "core/transient.h"

namespace pyllm {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;

// Sizes are rounded up to eight steps per power of two: at most 12.5 % of a block goes unused, and
// nearly equal requests share blocks.
size_t rounded(size_t bytes) {
  size_t step = kAlignment;
  while (step * 16 < bytes) step *= 2;
  return std::max((bytes + step - 1) / step * step, kAlignment);
}

// 64 KiB covers every page size in use (4, 16 and 64 KiB).
size_t page_rounded(size_t bytes) {
  return (bytes + 65535) / 65536 * 65536;
}

void* from_system(size_t bytes) {
  if (bytes < kHugePage) return std::aligned_alloc(kAlignment, bytes);
  // Map one huge page more than needed and cut the ends off to get the alignment.
  const size_t length = page_rounded(bytes);
  void* mapped =
      mmap(nullptr, length + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto start = reinterpret_cast<uintptr_t>(mapped);
  const uintptr_t aligned = (start + kHugePage - 1) / kHugePage * kHugePage;
  if (aligned > start) munmap(mapped, aligned - start);
  const uintptr_t end = start + length + kHugePage;
  if (end > aligned + length) {
    munmap(reinterpret_cast<void*>(aligned + length), end - aligned - length);
  }
#if defined(MADV_HUGEPAGE)
  madvise(reinterpret_cast<void*>(aligned), length, MADV_HUGEPAGE);
#endif
  return reinterpret_cast<void*>(aligned);
}

void to_system(void* block, size_t bytes) noexcept {
  if (bytes < kHugePage) {
    std::free(block);
  } else {
    munmap(block, page_rounded(bytes));
  }
}

class Cache {
 public:
  void* take(size_t bytes) {
    const size_t wanted = rounded(bytes);
    const std::lock_guard lock(mutex_);
    void* block = nullptr;
    // A cached block may be up to a quarter larger than asked for.
    if (const auto it = free_.lower_bound(wanted);
        it != free_.end() && it->first - wanted <= wanted / 4) {
      block = it->second;
      stats_.cached -= it->first;
      note_use(block, it->first);
      free_.erase(it);
      return block;
    }
    block = from_system(wanted);
    if (!block) {
      release_all();
      block = from_system(wanted);
      if (!block) throw std::bad_alloc();
    }
    ++stats_.system_calls;
    note_use(block, wanted);
    return block;
  }

  void give(void* block) noexcept {
    const std::lock_guard lock(mutex_);
    const auto it = used_.find(block);
    if (it == used_.end()) return;
    stats_.in_use -= it->second;
    stats_.cached += it->second;
    free_.emplace(it->second, block);
    used_.erase(it);
  }

  void empty() {
    const std::lock_guard lock(mutex_);
    release_all();
  }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

  void reset_peak() {
    const std::lock_guard lock(mutex_);
    stats_.peak_in_use = stats_.in_use;
  }

  // Held across fork(), so that a child never inherits it locked by a thread it does not have.
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  void note_use(void* block, size_t bytes) {
    used_.emplace(block, bytes);
    stats_.in_use += bytes;
    stats_.peak_in_use = std::max(stats_.peak_in_use, stats_.in_use);
  }

  void release_all() {
    for (const auto& [bytes, block] : free_) to_system(block, bytes);
    free_.clear();
    stats_.cached = 0;
  }

  std::mutex mutex_;
  std::multimap<size_t, void*> free_;
  std::unordered_map<void*, size_t> used_;
  MemoryStats stats_;
};

Cache& cache() {
  // Never destroyed: arrays may be freed after static destructors have run.
  static auto* instance = [] {
    pthread_atfork([] { cache().lock(); }, [] { cache().unlock(); }, [] { cache().unlock(); });
    return new Cache;
  }();
  return *instance;
}

}  // namespace

void* allocate(size_t bytes) {
  return cache().take(bytes);
}
void deallocate(void* block) noexcept {
  cache().give(block);
}
void* allocate_once(size_t bytes) {
  void* block = from_system(rounded(bytes));
  if (block) return block;
  empty_cache();
  block = from_system(rounded(bytes));
  if (!block) throw std::bad_alloc();
  return block;
}
void deallocate_once(void* block, size_t bytes) noexcept {
  to_system(block, rounded(bytes));
}
MemoryStats memory_stats() {
  return cache().stats();
}
void reset_peak_memory() {
  cache().reset_peak();
}
void empty_cache() {
  cache().empty();
}

}  // namespace pyllm
