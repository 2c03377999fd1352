// Whether class numbers, table rows or positions are in range. Kernels that take indices never read
// outside their arrays and answer a bad index with NaN; this says which one it was.
#pragma once

#include <cstdint>

// first_bad (1,) = the first i with indices[i] outside [0, limit), -1 if there is none.
struct IndexCheck {
  const void* indices;  // (n,)
  int64_t* first_bad;
  int64_t n, limit;
  int32_t index_dtype;  // kInt32 or kInt64
};
