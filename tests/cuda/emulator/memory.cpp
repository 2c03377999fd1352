#include "memory.h"

#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "bytes.h"
#include "sanitizers.h"
#include "traffic.h"

namespace emu {
namespace {

struct DeviceBuffer {
  unsigned char* end;
  bool writable;
};

std::map<const unsigned char*, DeviceBuffer> device_buffers;  // by their first byte
std::map<std::pair<const char*, unsigned>, std::unique_ptr<SharedArray>> declared_arrays;
std::unique_ptr<SharedArray> dynamic_array;

// Exactly as large as asked, so that AddressSanitizer sees the first byte past the end; filled with
// ones, which no float computation takes for a number.
std::unique_ptr<SharedArray> make_array(size_t bytes) {
  const ForgetAccesses forget;
  void* data = nullptr;
  if (posix_memalign(&data, 128, bytes) != 0) std::abort();
  std::memset(data, 0xFF, bytes);
  return std::make_unique<SharedArray>(SharedArray{static_cast<unsigned char*>(data), bytes,
                                                   std::vector(bytes, ByteState::unwritten)});
}

void free_array(std::unique_ptr<SharedArray> array) {
  const ForgetAccesses forget;
  std::free(array->data);
  array.reset();
}

size_t natural_alignment(size_t bytes) {
  return bytes & -bytes;
}

void check_alignment(const void* p, size_t bytes, const char* space, Site site) {
  const size_t alignment = natural_alignment(bytes);
  if (reinterpret_cast<uintptr_t>(p) % alignment == 0) return;
  report("misaligned access",
         std::string(space) + " access of " + std::to_string(bytes) + " bytes at an address " +
             std::to_string(reinterpret_cast<uintptr_t>(p) % alignment) + " past a multiple of " +
             std::to_string(alignment),
         site);
}

// Offset of the access in the array.
size_t check_shared(const Extent& extent, const void* p, size_t bytes, Site site) {
  const auto* first = static_cast<const unsigned char*>(p);
  if (first < extent.begin || first + bytes > extent.end) {
    report("out of bounds",
           std::to_string(bytes) + " bytes at offset " + std::to_string(first - extent.begin) +
               " of a shared array of " + std::to_string(extent.end - extent.begin) + " bytes",
           site);
  }
  check_alignment(p, bytes, "shared", site);
  return static_cast<size_t>(first - extent.array->data);
}

void require_no_copy_in_flight(const SharedArray& array, size_t offset, size_t bytes, Site site) {
  for (size_t i = offset; i < offset + bytes; ++i) {
    if (array.state[i] == ByteState::in_flight) {
      report("unwaited copy",
             "shared byte " + std::to_string(i) +
                 " is touched while the asynchronous copy into it has not been waited for",
             site);
    }
  }
}

void require_written(const SharedArray& array, size_t offset, size_t bytes, Site site) {
  require_no_copy_in_flight(array, offset, bytes, site);
  for (size_t i = offset; i < offset + bytes; ++i) {
    if (array.state[i] == ByteState::unwritten) {
      report("unwritten shared memory",
             "byte " + std::to_string(i) + " of a shared array is read before any write", site);
    }
  }
}

void set_state(SharedArray& array, size_t offset, size_t bytes, ByteState state) {
  for (size_t i = offset; i < offset + bytes; ++i) array.state[i] = state;
}

void check_global(const void* p, size_t bytes, bool write, Site site) {
  const auto* first = static_cast<const unsigned char*>(p);
  const auto after = device_buffers.upper_bound(first);
  const auto found = after == device_buffers.begin() ? device_buffers.end() : std::prev(after);
  if (found != device_buffers.end() && first + bytes <= found->second.end) {
    if (write && !found->second.writable) {
      report("write to an input", "the buffer is read-only", site);
    }
    check_alignment(p, bytes, "global", site);
    return;
  }
  std::string nearest = "no device buffer near";
  if (found != device_buffers.end() && first - found->second.end < 4096) {
    nearest = std::to_string(first - found->second.end) + " past the end of a buffer of " +
              std::to_string(found->second.end - found->first) + " bytes";
  } else if (after != device_buffers.end() && after->first - first <= 4096) {
    nearest = std::to_string(after->first - first) + " before a buffer of " +
              std::to_string(after->second.end - after->first) + " bytes";
  }
  report("out of bounds",
         std::string(write ? "write" : "read") + " of " + std::to_string(bytes) +
             " bytes of global memory, " + nearest,
         site);
}

}  // namespace

Extent shared_array(size_t bytes, Site declaration) {
  const ForgetAccesses forget;
  auto& array = declared_arrays[{declaration.file_name(), declaration.line()}];
  if (!array) array = make_array(bytes);
  return {array.get(), array->data, array->data + array->bytes};
}

Extent dynamic_shared(Site site) {
  if (!dynamic_array)
    report("launch", "the kernel was launched without dynamic shared memory", site);
  return {dynamic_array.get(), dynamic_array->data, dynamic_array->data + dynamic_array->bytes};
}

void shared_read(void* to, const Extent& extent, const void* from, size_t bytes, Site site) {
  require_written(*extent.array, check_shared(extent, from, bytes, site), bytes, site);
  traffic::access(traffic::Space::shared, false, from, bytes, site);
  move_bytes(to, from, bytes);
}

void shared_write(const Extent& extent, void* to, const void* from, size_t bytes, Site site) {
  const size_t offset = check_shared(extent, to, bytes, site);
  require_no_copy_in_flight(*extent.array, offset, bytes, site);
  traffic::access(traffic::Space::shared, true, to, bytes, site);
  move_bytes(to, from, bytes);
  set_state(*extent.array, offset, bytes, ByteState::written);
}

void shared_update(const Extent& extent, void* at, size_t bytes, Site site) {
  require_written(*extent.array, check_shared(extent, at, bytes, site), bytes, site);
  traffic::atomic();
}

void global_read(void* to, const void* from, size_t bytes, Site site) {
  check_global(from, bytes, false, site);
  traffic::access(traffic::Space::global, false, from, bytes, site);
  move_bytes(to, from, bytes);
}

void global_write(void* to, const void* from, size_t bytes, Site site) {
  check_global(to, bytes, true, site);
  traffic::access(traffic::Space::global, true, to, bytes, site);
  move_bytes(to, from, bytes);
}

void global_update(void* at, size_t bytes, Site site) {
  check_global(at, bytes, true, site);
  traffic::atomic();
}

void copy_async(const Extent& extent, void* to, const void* from, int bytes, Site site) {
  constexpr int kTargetBytes = 16;
  const size_t offset = check_shared(extent, to, kTargetBytes, site);
  require_no_copy_in_flight(*extent.array, offset, kTargetBytes, site);
  if (bytes > 0) {
    check_global(from, bytes, false, site);
    check_alignment(from, kTargetBytes, "global", site);
    traffic::access(traffic::Space::global, false, from, bytes, site);
  }
  traffic::access(traffic::Space::shared, true, to, kTargetBytes, site);
  fill_bytes(to, 0xFF, kTargetBytes);
  set_state(*extent.array, offset, kTargetBytes, ByteState::in_flight);
  current->copies.push_back({extent.array, static_cast<unsigned char*>(to),
                             static_cast<const unsigned char*>(from), bytes,
                             current->committed_groups, site});
}

void commit_copies() {
  ++current->committed_groups;
}

std::vector<AsyncCopy> land_copies(int newest) {
  std::vector<AsyncCopy> landed, pending;
  for (const AsyncCopy& copy : current->copies) {
    const bool old_enough = copy.group + static_cast<uint64_t>(newest) < current->committed_groups;
    (old_enough ? landed : pending).push_back(copy);
  }
  current->copies = std::move(pending);
  for (const AsyncCopy& copy : landed) {
    fill_bytes(copy.target, 0, 16);
    move_bytes(copy.target, copy.source, copy.bytes);
    set_state(*copy.array, copy.target - copy.array->data, 16, ByteState::written);
  }
  return landed;
}

void begin_block(size_t dynamic_bytes) {
  if (dynamic_bytes > 0) dynamic_array = make_array(dynamic_bytes);
}

void end_block() {
  for (auto& [declaration, array] : declared_arrays) free_array(std::move(array));
  declared_arrays.clear();
  if (dynamic_array) free_array(std::move(dynamic_array));
}

void add_device_buffer(void* data, size_t bytes, bool writable) {
  auto* begin = static_cast<unsigned char*>(data);
  device_buffers[begin] = {begin + bytes, writable};
}

void remove_device_buffer(void* data) {
  device_buffers.erase(static_cast<unsigned char*>(data));
}

void clear_device_buffers() {
  device_buffers.clear();
}

}  // namespace emu
