// What a kernel's accesses are checked against: the bytes of shared arrays, each unwritten, with a
// copy in flight, or written; and the device buffers that the launch was given.
#pragma once

#include <cstddef>
#include <vector>

#include "thread.h"

namespace emu {

enum class ByteState : unsigned char { unwritten, in_flight, written };

struct SharedArray {
  unsigned char* data;
  size_t bytes;
  std::vector<ByteState> state;
};

// A part of a shared array that an access must stay inside.
struct Extent {
  SharedArray* array;
  unsigned char* begin;
  unsigned char* end;
};

// The array that a declaration stands for: made by the first thread of the block that gets there.
Extent shared_array(size_t bytes, Site declaration);
Extent dynamic_shared(Site site);

// Each checks bounds, alignment and what was written, counts, then moves the bytes.
void shared_read(void* to, const Extent& extent, const void* from, size_t bytes, Site site);
void shared_write(const Extent& extent, void* to, const void* from, size_t bytes, Site site);
void shared_update(const Extent& extent, void* at, size_t bytes, Site site);  // an atomic's checks
void global_read(void* to, const void* from, size_t bytes, Site site);
void global_write(void* to, const void* from, size_t bytes, Site site);
void global_update(void* at, size_t bytes, Site site);

void copy_async(const Extent& extent, void* to, const void* from, int bytes, Site site);
void commit_copies();
// The calling thread's copies, but for those of its last `newest` groups, land now.
// Returns them so that the caller, who is instrumented, can tell ThreadSanitizer.
std::vector<AsyncCopy> land_copies(int newest);

// For the launch: a block begins and ends; device buffers come and go.
void begin_block(size_t dynamic_bytes);
void end_block();
void add_device_buffer(void* data, size_t bytes, bool writable);
void remove_device_buffer(void* data);
void clear_device_buffers();

}  // namespace emu
