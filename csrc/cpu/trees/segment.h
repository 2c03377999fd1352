#pragma once

#include <cstdint>
#include <vector>

#include "cpu/trees/bins.h"
#include "cpu/trees/split.h"

namespace pyllm::trees {

// By code of a feature's column, 1 where a split on the feature sends a row left.
std::vector<uint8_t> left_codes(const Feature& feature, const Split& split);

// Splits the row numbers of a node, in place and keeping their order: those that go left come
// first. Returns how many there are. spare: room for as many.
int64_t partition_segment(const Bins& bins, const Split& split, int32_t* rows, int32_t* spare,
                          int64_t count);

// How many of these rows a split sends left.
int64_t count_lefts(const Bins& bins, const Split& split, const int32_t* rows, int64_t count);

}  // namespace pyllm::trees
