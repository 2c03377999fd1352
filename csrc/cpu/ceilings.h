// What this machine can do at most: the yardstick of every benchmark row.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyllm {

// Each measures one pass and writes its rate; the caller repeats and takes the best.
struct BandwidthArgs {
  float* a;        // written
  const float* b;  // read
  const float* c;  // read
  int64_t n;
};
// a = b + 3 c over arrays far larger than the caches.
PYLLM_KERNEL(triad, (const BandwidthArgs& args));

// Independent multiply-add chains in registers, `rounds` times, on every thread; returns through
// `flops` how many operations ran and through `sink` a value that keeps them alive.
struct PeakArgs {
  int64_t rounds;
  double* flops;
  float* sink;
};
PYLLM_KERNEL(fma_peak, (const PeakArgs& args));

}  // namespace pyllm
