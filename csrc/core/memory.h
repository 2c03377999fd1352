// The caching allocator behind every array that pyllm returns.
//
// Fresh pages cost more than arithmetic: the kernel zeroes and maps each one on first touch, and
// the C library gives large blocks back at every free. Blocks freed here are kept and reused, so a
// training step that repeats its shapes maps nothing new. Blocks of 2 MiB and more are mapped on
// huge-page boundaries (transparent huge pages where the system allows them).
#pragma once

#include <cstddef>
#include <cstdint>

namespace pyllm {

struct MemoryStats {
  uint64_t in_use = 0;        // bytes handed out now
  uint64_t cached = 0;        // bytes held for reuse
  uint64_t peak_in_use = 0;   // largest in_use since the last reset_peak_memory
  uint64_t system_calls = 0;  // blocks taken from the operating system so far
};

// 64-byte aligned, not initialised. Throws std::bad_alloc.
void* allocate(size_t bytes);
void deallocate(void* block) noexcept;

MemoryStats memory_stats();
void reset_peak_memory();
void empty_cache();  // gives all cached blocks back to the system

}  // namespace pyllm
