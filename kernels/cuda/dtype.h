// Storage types of the arrays that launchers take; sums and statistics are float32 throughout.
// Class numbers and positions are int32 or int64; booleans are bytes of 0 and 1.
#pragma once

#include <cstdint>

namespace pyllm::cuda {

// An int32_t in argument structs, so that their layout is plain C.
enum DType : int32_t {
  kFloat32 = 0,
  kFloat16 = 1,
  kBFloat16 = 2,
  kInt32 = 3,
  kInt64 = 4,
  kBool = 5
};

}  // namespace pyllm::cuda
