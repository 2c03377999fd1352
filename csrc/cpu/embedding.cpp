// Rows of a table by number, and the scatter-add that is its backward.
//
// Forward: rows are split among threads; memory sees every row once. Backward: every thread owns a
// range of columns and walks all rows in order, so each element of dweight is summed in the order
// of the rows by one thread: no atomics, and the same result at any thread count.
#include "cpu/embedding.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 8192;  // elements a thread should have to be worth waking

// D: storage of dweight.
template <class T, class D>
void backward(const EmbeddingBackwardArgs& a) {
  using C = compute_t<T>;
  const int64_t rows = a.rows, entries = a.dweight.shape[0], width = a.dweight.shape[1];
  constexpr int64_t kLine = 64 / sizeof(D);  // threads do not share cache lines
  const int64_t lines = (width + kLine - 1) / kLine;
  parallel_for(lines, kGrain / ((rows + entries) * kLine + 1) + 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kLine, count = std::min(end * kLine, width) - first;
    if (!a.accumulate) {
      for (int64_t v = 0; v < entries; ++v) {
        std::memset(a.dweight.as<D>() + v * width + first, 0, sizeof(D) * count);
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t id = a.ids[r];
      if (id == a.padding) continue;
      const T* g = a.grad.as<T>() + r * width + first;
      D* d = a.dweight.as<D>() + id * width + first;
      for (int64_t i = 0; i < count; i += Vec<C>::lanes) {
        const int lanes = lanes_left<C>(count - i);
        store(d + i, load(d + i, lanes) + load(g + i, lanes), lanes);
      }
    }
  });
}

}  // namespace

void embedding_forward(const EmbeddingArgs& a) {
  const int64_t rows = a.rows, width = a.weight.shape[1];
  const size_t bytes = size_of(a.weight.dtype) * width;
  parallel_for(rows, kGrain / (width + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      std::memcpy(a.y.as<char>() + r * bytes,
                  a.weight.as<char>() + a.ids[r] * a.weight.strides[0] *
                                            static_cast<int64_t>(size_of(a.weight.dtype)),
                  bytes);
    }
  });
}

void embedding_backward(const EmbeddingBackwardArgs& a) {
  with_float_type(a.grad.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (!std::is_same_v<T, double>) {
      if (a.dweight.dtype == DType::f32) return backward<T, float>(a);
    }
    backward<T, T>(a);
  });
}

}  // namespace pyllm::PYLLM_ISA
