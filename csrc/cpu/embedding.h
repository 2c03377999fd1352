#pragma once

#include "core/array.h"
#include "core/isa.h"

namespace pyllm {

// y[r] = weight[ids[r]]; the caller has checked that the ids are in range.
struct EmbeddingArgs {
  const int64_t* ids = nullptr;
  int64_t rows = 0;
  Array weight;  // (entries, width)
  Array y;       // (..., width)
};

// dweight[v] (+)= the sum of grad[r] over the rows with ids[r] = v.
struct EmbeddingBackwardArgs {
  Array grad;  // (..., width)
  const int64_t* ids = nullptr;
  int64_t rows = 0;
  Array dweight;         // (entries, width), of grad's dtype or float32
  int64_t padding = -1;  // an id whose rows count for nothing, -1 for none
  bool accumulate = false;
};

PYLLM_KERNEL(embedding_forward, (const EmbeddingArgs& args));
PYLLM_KERNEL(embedding_backward, (const EmbeddingBackwardArgs& args));

}  // namespace pyllm
