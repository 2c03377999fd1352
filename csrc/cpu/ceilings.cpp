// fma_peak keeps ten chains a thread in flight: two FMA units times latency 4 to 5.
#include "cpu/ceilings.h"

#include <atomic>

#include "core/parallel.h"
#include "cpu/streaming.h"
#include "cpu/sums.h"

namespace pyllm::PYLLM_ISA {

void traffic_pass(const TrafficArgs& args) {
  using V = Vec<float>;
  std::atomic<float> total{0};
  parallel_for((args.n + 15) / 16, 256, [&](int64_t first, int64_t last) {
    const int64_t begin = first * 16, n = std::min(last * 16, args.n) - begin;
    float* a = args.a + begin;
    const float *b = args.b + begin, *c = args.c + begin;
    with_writer(args.streamed, [&](auto put) {
      switch (args.traffic) {
        case Traffic::read:
          total.fetch_add(row_sums<float, 1>(
              n, [&](int64_t i, int count, V* t) { t[0] = load(b + i, count); })[0]);
          break;
        case Traffic::copy:
          write_vectors(put, a, n, [&](int64_t i, int k) { return -load(b + i, k); });
          break;
        case Traffic::triad:
          write_vectors(put, a, n, [&](int64_t i, int k) {
            return load(b + i, k) + load(c + i, k) * V(3.0f);
          });
          break;
        case Traffic::update:
          write_vectors(put, a, n, [&](int64_t i, int k) { return -load(a + i, k); });
          break;
      }
    });
  });
  *args.sink = total.load();
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
