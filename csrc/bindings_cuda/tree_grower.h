// Growing one tree on a device, the same as csrc/cpu/trees/grow.h grows.
#pragma once

#include "bindings_cuda/tree_input.h"
#include "cpu/trees/grow.h"

namespace pyllm::bind_cuda {

// leaf_of_row: out, on the device, for every row of the data set. Categorical features and random
// cuts are not supported. Gradients that are not finite give std::invalid_argument.
trees::GrownTree grow_tree(const DeviceGrowInput& input, const trees::GrowOptions& options,
                           int32_t* leaf_of_row, trees::Checkpoint checkpoint);

}  // namespace pyllm::bind_cuda
