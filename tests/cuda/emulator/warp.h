// Warp collectives: every lane that the mask names must come to the same call.
//
// None of them but __syncwarp orders memory: a shuffle taken for a fence is a race.
#pragma once

#include <cstddef>
#include <cstdint>

#include "thread.h"

namespace emu {

enum class Shuffle { index, up, down, exclusive_or };

void sync_warp(uint32_t mask, Site site);
// Replaces `value` with that of the lane that `kind` and `argument` name.
void shuffle(uint32_t mask, void* value, size_t bytes, Shuffle kind, int argument, int width,
             Site site);
uint32_t ballot(uint32_t mask, bool predicate, Site site);

// Each lane brings the 16 bytes of its row; see device.cuh for what it gets.
void ldmatrix_x4(uint32_t (&result)[4], const uint32_t (&row)[4], bool transpose, Site site);

// d += a b for one 16 x 16 by 16 x 8 product; `widen` turns 16 bits of a or b into a float.
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  float (*widen)(uint16_t), Site site);

}  // namespace emu
