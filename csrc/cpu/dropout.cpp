// dropout (Srivastava et al. 2014) with a counter-based mask, and an optional residual addition.
//
//   y_i = keep_i x_i / (1 - p) + residual_i,  keep_i = word_i >= p 2^32,  dx_i = keep_i dy_i /
//   (1-p)
//
// word_i is element i's word of the Philox stream (core/philox.h), i in row-major order: nothing is
// saved for backward and the threads may cut the array anywhere.
#include "cpu/dropout.h"

#include "cpu/elementwise.h"
#include "cpu/philox.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kWords = 256;  // elements a turn, so that their words stay in the L1 cache

template <class T>
void run(const DropoutArgs& a) {
  using C = compute_t<T>;
  const Philox philox(a.seed, a.stream);
  const uint32_t threshold = drop_threshold(a.p);
  const auto scale = Vec<C>(static_cast<C>(1 / (1 - a.p)));
  // `add` is null or a row.
  const auto kernel = [&](const T* x, const T* add, T* y, int64_t index, int64_t length, auto put) {
    // Room for the words before `index` in its block, and for the last turn and vector.
    uint32_t words[kWords + 4 + Philox::kTurn + Vec<float>::lanes];
    for (int64_t done = 0; done < length; done += kWords) {
      const int64_t n = std::min(kWords, length - done), skip = (index + done) % 4;
      philox.draw(static_cast<uint64_t>(index + done) / 4, skip + n, words);
      write_vectors(put, y + done, n, [&](int64_t i, int count) {
        fetch_ahead(x + done + i);
        // The product is masked, not the factor: inf and NaN that are dropped become 0 too.
        const Vec<C> r = keep_from(words + skip + i, threshold, load(x + done + i, count) * scale);
        return add ? r + load(add + done + i, count) : r;
      });
    }
  };
  if (a.residual) {
    elementwise<T, 2, 1>({a.x, *a.residual}, {a.y},
                         [&](auto in, auto out, int64_t index, int64_t n, auto put) {
                           kernel(in[0], in[1], out[0], index, n, put);
                         });
  } else {
    elementwise<T, 1, 1>({a.x}, {a.y}, [&](auto in, auto out, int64_t index, int64_t n, auto put) {
      kernel(in[0], nullptr, out[0], index, n, put);
    });
  }
}

}  // namespace

void dropout(const DropoutArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) { run<typename decltype(tag)::type>(a); });
}

}  // namespace pyllm::PYLLM_ISA
