// Runs a grid: its blocks one after another, the threads of a block as fibers that take turns at
// barriers and warp collectives.
#pragma once

#include <functional>
#include <string>

#include "thread.h"

namespace emu {

cudaError_t run_grid(const std::string& kernel, dim3 grid, dim3 block_size, size_t shared_bytes,
                     const std::function<void()>& body);

void block_barrier(Site site);

}  // namespace emu
