// The global norm that clipping needs before the first update: one read of the gradients. Blocks of
// a fixed size are summed in float64 of short float32 runs, then in the order of the blocks.
#include "cpu/optim/gradient_norm.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kBlock = 65536;  // elements a partial sum

template <class T>
double sum_squares(const T* x, int64_t n) {
  using C = compute_t<T>;
  using V = Vec<C>;
  double total = 0;
  for (int64_t start = 0; start < n; start += 4096) {
    // Four sums side by side: one would wait for its last addition.
    V parts[4] = {C(0), C(0), C(0), C(0)};
    const int64_t end = std::min<int64_t>(n, start + 4096);
    int64_t i = start;
    for (; i + 4 * V::lanes <= end; i += 4 * V::lanes) {
      for (int k = 0; k < 4; ++k) {
        const V value = load(x + i + k * V::lanes);
        parts[k] += value * value;
      }
    }
    for (; i < end; i += V::lanes) {
      const V value = load(x + i, lanes_left<C>(end - i));
      parts[0] += value * value;
    }
    total += sum((parts[0] + parts[1]) + (parts[2] + parts[3]));
  }
  return total;
}

}  // namespace

void sum_of_squares(const Array& x, double& result) {
  const int64_t n = x.size(), blocks = (n + kBlock - 1) / kBlock;
  std::vector<double> partial(blocks);
  with_float_type(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(blocks, 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        partial[b] = sum_squares(x.as<T>() + b * kBlock, std::min(kBlock, n - b * kBlock));
      }
    });
  });
  result = 0;
  for (const double part : partial) result += part;
}

}  // namespace pyllm::PYLLM_ISA
