// dropout: the mask is a function of (seed, stream, element), so nothing is saved for backward and
// the threads may cut the array anywhere. Sixteen Philox blocks are drawn at a time: the ten rounds
// of a lane are independent of its neighbours', and the compiler turns them into vectors.
#include "cpu/dropout.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/philox.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int kBlocks = 16;          // Philox blocks a turn
constexpr int kWords = 4 * kBlocks;  // elements a turn
constexpr int64_t kGrainTurns = 128;

// keep[i] = scale or 0 for elements [kWords * turn, kWords * (turn + 1)).
template <class C>
void draw(uint64_t seed, uint64_t stream, uint64_t turn, uint32_t threshold, C scale, C* keep) {
  uint32_t c0[kBlocks], c1[kBlocks], c2[kBlocks], c3[kBlocks];
  for (int i = 0; i < kBlocks; ++i) {
    const uint64_t block = turn * kBlocks + i;
    c0[i] = static_cast<uint32_t>(block), c1[i] = static_cast<uint32_t>(block >> 32);
    c2[i] = static_cast<uint32_t>(stream), c3[i] = static_cast<uint32_t>(stream >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kBlocks; ++i) {
      const uint64_t p0 = uint64_t{kPhiloxM0} * c0[i], p1 = uint64_t{kPhiloxM1} * c2[i];
      c0[i] = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c2[i] = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<uint32_t>(p1);
      c3[i] = static_cast<uint32_t>(p0);
    }
    k0 += kPhiloxW0, k1 += kPhiloxW1;
  }
  for (int i = 0; i < kBlocks; ++i) {
    keep[4 * i] = c0[i] < threshold ? C(0) : scale;
    keep[4 * i + 1] = c1[i] < threshold ? C(0) : scale;
    keep[4 * i + 2] = c2[i] < threshold ? C(0) : scale;
    keep[4 * i + 3] = c3[i] < threshold ? C(0) : scale;
  }
}

template <class T>
void run(const DropoutArgs& a) {
  using C = compute_t<T>;
  const int64_t n = a.x.size();
  const uint32_t threshold = drop_threshold(a.p);
  const C scale = static_cast<C>(1 / (1 - a.p));
  parallel_for((n + kWords - 1) / kWords, kGrainTurns, [&](int64_t first, int64_t last) {
    C keep[kWords];
    for (int64_t turn = first; turn < last; ++turn) {
      draw(a.seed, a.stream, static_cast<uint64_t>(turn), threshold, scale, keep);
      const int64_t start = turn * kWords, count = std::min<int64_t>(kWords, n - start);
      const T* x = a.x.as<T>() + start;
      T* y = a.y.as<T>() + start;
      for (int64_t i = 0; i < count; i += Vec<C>::lanes) {
        const int lanes = lanes_left<C>(count - i);
        const Vec<C> k = load(keep + i, lanes);
        // Not a product where the element is dropped: inf and NaN there become 0 too.
        store(y + i, select<C>(k > Vec<C>(C(0)), load(x + i, lanes) * k, Vec<C>(C(0))), lanes);
      }
    }
  });
}

}  // namespace

void dropout(const DropoutArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) { run<typename decltype(tag)::type>(a); });
}

}  // namespace pyllm::PYLLM_ISA
