// What this machine can do at most: the yardstick of every benchmark row.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyllm {

// How an op uses memory at best. Each has a ceiling of its own, since a store that misses the
// caches reads its line first, unless it is streamed or the op has just read it.
enum class Traffic {
  read,    // sum of b
  copy,    // a = -b
  triad,   // a = b + 3 c
  update,  // a = -a
};

// Bytes an element of one pass: reads and writes, not the hidden reads of lines to be written.
constexpr int64_t traffic_bytes(Traffic traffic) {
  return traffic == Traffic::read ? 4 : traffic == Traffic::triad ? 12 : 8;
}

struct TrafficArgs {
  Traffic traffic;
  bool streamed;   // stores go past the caches
  float* a;        // written
  const float* b;  // read
  const float* c;  // read
  int64_t n;
  float* sink;  // of read: one value a thread range, added up
};
PYLLM_KERNEL(traffic_pass, (const TrafficArgs& args));

// Independent multiply-add chains in registers, `rounds` times, on every thread; returns through
// `flops` how many operations ran and through `sink` a value that keeps them alive.
struct PeakArgs {
  int64_t rounds;
  double* flops;
  float* sink;
};
PYLLM_KERNEL(fma_peak, (const PeakArgs& args));

}  // namespace pyllm
