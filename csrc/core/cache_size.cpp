#include "core/cache_size.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace pyllm {
namespace {

int64_t measured() {
  int64_t bytes = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
  bytes = std::max<int64_t>(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
#endif
  return bytes > 0 ? bytes : int64_t{32} << 20;  // some virtual machines do not say
}

std::atomic<int64_t>& size() {
  static std::atomic<int64_t> bytes = measured();
  return bytes;
}

}  // namespace

int64_t last_level_cache() {
  return size().load(std::memory_order_relaxed);
}

void set_last_level_cache(int64_t bytes) {
  size().store(bytes > 0 ? bytes : measured(), std::memory_order_relaxed);
}

}  // namespace pyllm
