// Rows of a table by number, and the scatter-add that is its backward. Any strides.
//
// Forward: rows are split among threads; memory sees every row once. Backward: every thread owns a
// range of columns and walks all rows in order, so each element of dweight is summed in the order
// of the rows by one thread: no atomics, and the same result at any thread count.
#include "cpu/embedding.h"

#include <algorithm>

#include "core/parallel.h"
#include "cpu/rows.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 8192;  // elements a thread should have to be worth waking

template <class T>
void forward(const EmbeddingArgs& a) {
  const int64_t width = a.weight.shape[1];
  const Rows ys(a.y, a.y.ndim - 1);
  parallel_for(a.rows, kGrain / (width + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> in(width, a.weight.strides[1]), out(width, ys.axis_stride());
    for (int64_t r = begin; r < end; ++r) {
      T* row = a.y.as<T>() + ys.offset(r);
      const T* from = in.read(a.weight.as<T>() + a.ids[r] * a.weight.strides[0]);
      std::copy_n(from, width, out.target(row));
      out.write(row);
    }
  });
}

// D: storage of dweight.
template <class T, class D>
void backward(const EmbeddingBackwardArgs& a) {
  using C = compute_t<T>;
  const int64_t rows = a.rows, entries = a.dweight.shape[0], width = a.dweight.shape[1];
  const Rows grads(a.grad, a.grad.ndim - 1), sums(a.dweight, 1);
  constexpr int64_t kLine = 64 / sizeof(D);  // threads do not share cache lines
  const int64_t lines = (width + kLine - 1) / kLine;
  parallel_for(lines, kGrain / ((rows + entries) * kLine + 1) + 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kLine, count = std::min(end * kLine, width) - first;
    RowBuffer<T> in(count, grads.axis_stride());
    RowBuffer<D> old(count, sums.axis_stride()), out(count, sums.axis_stride());
    D* const dweight = a.dweight.as<D>() + first * sums.axis_stride();
    if (!a.accumulate) {
      for (int64_t v = 0; v < entries; ++v) {
        D* row = dweight + sums.offset(v);
        std::fill_n(out.target(row), count, D{});
        out.write(row);
      }
    }
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t id = a.ids[r];
      if (id == a.padding) continue;
      const T* g = in.read(a.grad.as<T>() + grads.offset(r) + first * grads.axis_stride());
      D* row = dweight + sums.offset(id);
      const D* before = old.read(row);
      D* after = out.target(row);
      for (int64_t i = 0; i < count; i += Vec<C>::lanes) {
        const int lanes = lanes_left<C>(count - i);
        store(after + i, load(before + i, lanes) + load(g + i, lanes), lanes);
      }
      out.write(row);
    }
  });
}

}  // namespace

void embedding_forward(const EmbeddingArgs& a) {
  with_float_type(a.weight.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(a); });
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
