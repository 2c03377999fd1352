// The size of the last-level cache: outputs that outgrow it are stored past the caches.
#pragma once

#include <cstdint>

namespace pyllm {

int64_t last_level_cache();                // bytes
void set_last_level_cache(int64_t bytes);  // for tests; 0: back to what the machine says

}  // namespace pyllm
