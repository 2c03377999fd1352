// pyllm_cuda_linear_cross_entropy with products computed on the host: the emulator's device memory
// is the host's.
#pragma once

#include "linear_cross_entropy.h"
