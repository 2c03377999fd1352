#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyllm::trees {

// Sends rows left or right by their code of one feature, keeping their order.
struct PartitionArgs {
  const uint8_t* narrow = nullptr;  // the feature's codes, by row: one of the two
  const uint16_t* wide = nullptr;
  const uint8_t* goes_left = nullptr;  // by code: 1 or 0
  const int32_t* rows = nullptr;
  int64_t count = 0;
  int32_t* left = nullptr;  // out, room for count + 16 each; left may be rows
  int32_t* right = nullptr;
  int64_t* lefts = nullptr;  // out: how many went left
};

}  // namespace pyllm::trees

namespace pyllm {
PYLLM_KERNEL(tree_partition, (const trees::PartitionArgs& args));
}  // namespace pyllm
