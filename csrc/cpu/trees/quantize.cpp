// Gradients and hessians in fixed point: largest magnitudes, then scaled, rounded, packed.
//
// Rounding adds and takes away 1.5 * 2^52 in double: to nearest, ties to even, in plain arithmetic
// that every instruction set does alike. Stochastic rounding adds Philox numbers in (0, 1),
// elements 2 row and 2 row + 1 of a stream, and rounds down.
#include "cpu/trees/quantize.h"

#include <algorithm>
#include <bit>
#include <mutex>

#include "core/parallel.h"
#include "core/scratch.h"
#include "cpu/philox.h"

namespace pyllm::PYLLM_ISA {
namespace {

using namespace trees;

constexpr int64_t kGrain = 1 << 14;
constexpr double kRound = 0x1.8p52;

int64_t rounded(double x) {
  return std::bit_cast<int64_t>(x + kRound) - std::bit_cast<int64_t>(kRound);
}

uint32_t magnitude(float x) {
  return std::bit_cast<uint32_t>(x) & 0x7FFFFFFFu;
}

template <bool kAll>
Magnitudes magnitudes(const Gradients& in, int64_t begin, int64_t end) {
  uint32_t g = 0, h = 0;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t at = (kAll ? i : in.rows[i]) * in.stride;
    g = std::max(g, magnitude(in.gradient[at]));
    h = std::max(h, magnitude(in.hessian[at]));
  }
  return {g, h};
}

// Random words of consecutive elements of `in`: two a row.
class RowWords {
 public:
  static constexpr int64_t kRows = 256;  // at a time, so that they stay in the L1 cache

  explicit RowWords(const QuantizeArgs& args)
      : args_(args), philox_(args.seed, args.stream), words_(2 * kRows + 2 + Philox::kTurn) {}

  template <bool kAll>
  const uint32_t* draw(int64_t begin, int64_t count) {
    if constexpr (kAll) {  // two rows a block of four words
      philox_.draw(static_cast<uint64_t>(begin) / 2, 2 * (begin % 2 + count), words_.data());
      return words_.data() + 2 * (begin % 2);
    }
    for (int64_t i = 0; i < count; ++i) {
      const auto row = static_cast<uint64_t>(args_.in.rows[begin + i]);
      const auto block = philox(args_.seed, args_.stream, row / 2);
      for (uint64_t w = 0; w < 2; ++w) words_[2 * i + w] = block[2 * (row % 2) + w];
    }
    return words_.data();
  }

 private:
  const QuantizeArgs& args_;
  Philox philox_;
  Scratch<uint32_t> words_;
};

// Rounding to nearest of x - 1/2 + u, with u never 0 or 1, rounds x down or up.
double shift(uint32_t word) {
  return (word + 0.5) * 0x1p-32 - 0.5;
}

template <class Word, bool kAll, bool kStochastic>
QuantizedSums quantize(const QuantizeArgs& args, int64_t begin, int64_t end) {
  const Gradients& in = args.in;
  auto* __restrict words = static_cast<Word*>(args.words);
  const double gradient_scale = args.gradient_scale, hessian_scale = args.hessian_scale;
  RowWords random(args);
  int64_t g_total = 0, h_total = 0, g_sum = 0, h_sum = 0, least = INT64_MAX, most = INT64_MIN;
  for (int64_t first = begin; first < end; first += RowWords::kRows) {
    const int64_t count = std::min(RowWords::kRows, end - first);
    const uint32_t* __restrict draw = kStochastic ? random.draw<kAll>(first, count) : nullptr;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = kAll ? first + i : in.rows[first + i];
      double g = in.gradient[row * in.stride] * gradient_scale;
      double h = in.hessian[row * in.stride] * hessian_scale;
      if constexpr (kStochastic) {
        g += shift(draw[2 * i]);
        h += shift(draw[2 * i + 1]);
      }
      const int64_t gq = rounded(g), hq = rounded(h);
      words[row] = packed<Word>(Pair{gq, hq});
      g_total += gq;
      h_total += hq;
      g_sum += gq < 0 ? -gq : gq;
      h_sum += hq < 0 ? -hq : hq;
      least = hq < least ? hq : least;
      most = hq > most ? hq : most;
    }
  }
  return {Pair{g_total, h_total}, g_sum, h_sum, least, most};
}

}  // namespace

void tree_magnitudes(const Gradients& in, Magnitudes& out) {
  std::mutex mutex;
  parallel_for(in.count, kGrain, [&](int64_t begin, int64_t end) {
    const Magnitudes part =
        in.rows ? magnitudes<false>(in, begin, end) : magnitudes<true>(in, begin, end);
    const std::lock_guard lock(mutex);
    out.gradient = std::max(out.gradient, part.gradient);
    out.hessian = std::max(out.hessian, part.hessian);
  });
}

void tree_quantize(const QuantizeArgs& args, QuantizedSums& sums) {
  std::mutex mutex;
  sums = {Pair{0, 0}, 0, 0, INT64_MAX, INT64_MIN};
  parallel_for(args.in.count, kGrain, [&](int64_t begin, int64_t end) {
    const QuantizedSums part = with_word(args.packing, [&](auto word) {
      using Word = decltype(word);
      if (args.stochastic) {
        return args.in.rows ? quantize<Word, false, true>(args, begin, end)
                            : quantize<Word, true, true>(args, begin, end);
      }
      return args.in.rows ? quantize<Word, false, false>(args, begin, end)
                          : quantize<Word, true, false>(args, begin, end);
    });
    const std::lock_guard lock(mutex);
    sums.total += part.total;
    sums.gradient += part.gradient;
    sums.hessian += part.hessian;
    sums.least_hessian = std::min(sums.least_hessian, part.least_hessian);
    sums.most_hessian = std::max(sums.most_hessian, part.most_hessian);
  });
}

}  // namespace pyllm::PYLLM_ISA
