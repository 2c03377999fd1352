// dropout (Srivastava et al. 2014) with a counter-based mask, and an optional residual addition.
//
//   y_i = keep_i x_i / (1 - p) + residual_i,  keep_i = word_i >= p 2^32,  dx_i = keep_i dy_i /
//   (1-p)
//
// word_i is element i's word of the Philox stream (core/philox.h), i in row-major order: nothing is
// saved for backward and the threads may cut the array anywhere. A vector of 64-bit lanes draws one
// block of four words a lane: a product of 32-bit halves is what the lane holds, and what stands in
// its upper half afterwards is ignored by the next product.
#include "cpu/dropout.h"

#include "core/philox.h"
#include "cpu/elementwise.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int kWords = 256;  // elements a turn: 64 blocks
constexpr int kWideLanes = kVectorBytes / 8;

// words[i] = word of element first + i, first a multiple of 4.
void draw(uint64_t seed, uint64_t stream, uint64_t first, int count, uint32_t* words) {
  constexpr int kGroups = 2;  // independent chains, to hide the latency of the products
  uint64_t lane[kWideLanes];
  for (int i = 0; i < kWideLanes; ++i) lane[i] = static_cast<uint64_t>(i);
  Wide step;
  std::memcpy(&step, lane, sizeof step);
  const Wide low = Wide{} + 0xFFFFFFFFu;
  for (int done = 0; done < count; done += 4 * kWideLanes * kGroups) {
    Wide c0[kGroups], c1[kGroups], c2[kGroups], c3[kGroups];
    for (int g = 0; g < kGroups; ++g) {
      c0[g] = step + (first / 4 + static_cast<uint64_t>(done / 4 + g * kWideLanes));
      c1[g] = c0[g] >> 32;
      c2[g] = Wide{} + (stream & 0xFFFFFFFFu);
      c3[g] = Wide{} + (stream >> 32);
    }
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += kPhiloxW0, k1 += kPhiloxW1) {
      for (int g = 0; g < kGroups; ++g) {
        const Wide p0 = multiply_low_halves(c0[g], kPhiloxM0);
        const Wide p1 = multiply_low_halves(c2[g], kPhiloxM1);
        c0[g] = (p1 >> 32) ^ c1[g] ^ uint64_t { k0 };
        c2[g] = (p0 >> 32) ^ c3[g] ^ uint64_t { k1 };
        c1[g] = p1;
        c3[g] = p0;
      }
    }
    for (int g = 0; g < kGroups; ++g) {
      const Wide pair[2] = {(c0[g] & low) | (c1[g] << 32), (c2[g] & low) | (c3[g] << 32)};
      uint64_t lanes[2][kWideLanes], mixed[2 * kWideLanes];
      std::memcpy(lanes, pair, sizeof lanes);
      for (int i = 0; i < kWideLanes; ++i) {
        mixed[2 * i] = lanes[0][i];
        mixed[2 * i + 1] = lanes[1][i];
      }
      std::memcpy(words + done + g * 4 * kWideLanes, mixed, sizeof mixed);
    }
  }
}

template <class C>
struct Mask {
  uint64_t seed, stream;
  uint32_t threshold;
  C scale;

  // multipliers[i] = scale or 0 for element first + i.
  void fill(uint64_t first, int count, C* multipliers) const {
    uint32_t words[kWords + 64];
    const int skip = static_cast<int>(first % 4);
    draw(seed, stream, first - skip, count + skip, words);
    for (int i = 0; i < count; ++i) multipliers[i] = words[skip + i] < threshold ? C(0) : scale;
  }
};

template <class T>
void run(const DropoutArgs& a) {
  using C = compute_t<T>;
  const Mask<C> mask{a.seed, a.stream, drop_threshold(a.p), static_cast<C>(1 / (1 - a.p))};
  // The loop over whole turns, so that the mask stays in the L1 cache. `add` is null or a row.
  const auto kernel = [&](const T* x, const T* add, T* y, int64_t index, int64_t length) {
    C multipliers[kWords];
    for (int64_t done = 0; done < length; done += kWords) {
      const int64_t n = std::min<int64_t>(kWords, length - done);
      mask.fill(static_cast<uint64_t>(index + done), static_cast<int>(n), multipliers);
      for_vectors<C>(n, [&](int64_t i, int count) {
        const Vec<C> k = load(multipliers + i, count);
        // Not a product where the element is dropped: inf and NaN there become 0 too.
        Vec<C> r = select<C>(k > Vec<C>(C(0)), load(x + done + i, count) * k, Vec<C>(C(0)));
        if (add) r += load(add + done + i, count);
        store(y + done + i, r, count);
      });
    }
  };
  if (a.residual) {
    elementwise<T, 2, 1>({a.x, *a.residual}, {a.y},
                         [&](auto in, auto out, int64_t index, int64_t n) {
                           kernel(in[0], in[1], out[0], index, n);
                         });
  } else {
    elementwise<T, 1, 1>({a.x}, {a.y}, [&](auto in, auto out, int64_t index, int64_t n) {
      kernel(in[0], nullptr, out[0], index, n);
    });
  }
}

}  // namespace

void dropout(const DropoutArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) { run<typename decltype(tag)::type>(a); });
}

}  // namespace pyllm::PYLLM_ISA
