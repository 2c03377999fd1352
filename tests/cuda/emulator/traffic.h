// Counts what a kernel moves, as the hardware would: per warp and instruction.
//
// A warp's access to global memory takes as many 32-byte sectors as its lanes' bytes fall in;
// ideal is the fewest that could hold those bytes. A warp's access to shared memory takes one
// wavefront for each 128 bytes or, where lanes want different words of one bank, for each such
// word; ideal is without those conflicts. The accesses of a warp's lanes are matched by source
// location and by how often the lane has come there in its block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>

#include "thread.h"

namespace emu::traffic {

enum class Space { global, shared };

void access(Space space, bool write, const void* address, size_t bytes, Site site);
void atomic();
void barrier();
void mma();

void begin_kernel(size_t dynamic_shared);
void end_block();

// One JSON object per kernel name, in order of first launch; then forgets them.
void write_json_and_reset(std::ostream& out);

}  // namespace emu::traffic
