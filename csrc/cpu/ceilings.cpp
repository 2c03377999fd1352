// triad moves 12 bytes an element (the read of a line before it is written is not counted, as in
// STREAM). fma_peak keeps ten chains a thread in flight: two FMA units times latency 4 to 5.
#include "cpu/ceilings.h"

#include <atomic>

#include "core/parallel.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

void triad(const BandwidthArgs& args) {
  parallel_for(args.n, 4096, [&](int64_t begin, int64_t end) {
    using V = Vec<float>;
    for (int64_t i = begin; i < end; i += V::lanes) {
      const int count = lanes_left<float>(end - i);
      store(args.a + i, load(args.b + i, count) + load(args.c + i, count) * 3.0f, count);
    }
  });
}

void fma_peak(const PeakArgs& args) {
  using V = Vec<float>;
  constexpr int kChains = 10;
  const int threads = num_threads();
  std::atomic<float> sink{0};
  parallel_tasks(threads, [&](int64_t) {
    V x[kChains];
    for (int c = 0; c < kChains; ++c) x[c] = 0.1f * static_cast<float>(c);
    const V scale = 0.999f, shift = 0.001f;
    for (int64_t r = 0; r < args.rounds; ++r) {
#pragma GCC unroll 10
      for (int c = 0; c < kChains; ++c) x[c] = x[c] * scale + shift;
    }
    V total = 0.0f;
    for (int c = 0; c < kChains; ++c) total += x[c];
    sink.store(sum(total), std::memory_order_relaxed);
  });
  *args.sink = sink.load();
  *args.flops = 2.0 * kChains * V::lanes * static_cast<double>(args.rounds) * threads;
}

}  // namespace pyllm::PYLLM_ISA
