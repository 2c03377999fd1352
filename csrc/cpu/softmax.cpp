// softmax and log_softmax along one axis.
//
//   forward   y_i = exp(s x_i - m) / sum_j exp(s x_j - m),  m = max_j s x_j,  s = 1 / temperature
//             log: y_i = s x_i - m - log sum_j exp(s x_j - m)
//   backward  dx_i = s y_i (dy_i - sum_j dy_j y_j)
//             log: dx_i = s (dy_i - exp(y_i) sum_j dy_j)
//
// Saved for backward: y alone. Rows are split among threads; a row is read three times but from
// cache (its maximum, its exponentials, their scaling), so memory sees x once and y once.
#include "cpu/softmax.h"

#include <optional>

#include "core/parallel.h"
#include "cpu/rows.h"
#include "cpu/simd.h"
#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 8192;  // elements a thread should have to be worth waking

template <class C>
constexpr C kInf = std::numeric_limits<C>::infinity();

// exps: n values of compute type, may alias y when T == C.
template <class T, class C>
void softmax_row(const T* x, T* y, C* exps, int64_t n, C scale, bool log) {
  using V = Vec<C>;
  V top = -kInf<C>;
  for (int64_t i = 0; i < n; i += V::lanes) {
    top = max(load(x + i, lanes_left<C>(n - i), -kInf<C>) * scale, top);
  }
  const C m = max_of(top);
  // A row that is all -inf (all masked) has no distribution; NaN goes on to poison the row.
  if (m == -kInf<C>) {
    const T empty = narrow<T>(log ? -kInf<C> : C(0));
    for (int64_t i = 0; i < n; ++i) y[i] = empty;
    return;
  }
  V total = C(0);
  for (int64_t i = 0; i < n; i += V::lanes) {
    const int count = lanes_left<C>(n - i);
    const V shifted = load(x + i, count, -kInf<C>) * scale - m;
    const V e = exp(shifted);
    total += e;
    store(exps + i, log ? shifted : e, count);
  }
  const C s = sum(total);
  if (log) {
    const C lse = std::log(s);
    for (int64_t i = 0; i < n; i += V::lanes) {
      const int count = lanes_left<C>(n - i);
      store(y + i, load(exps + i, count) - lse, count);
    }
  } else {
    const C inverse = C(1) / s;
    for (int64_t i = 0; i < n; i += V::lanes) {
      const int count = lanes_left<C>(n - i);
      store(y + i, load(exps + i, count) * inverse, count);
    }
  }
}

template <class T, class C>
void softmax_row_backward(const T* dy, const T* y, T* dx, int64_t n, C scale, bool log) {
  using V = Vec<C>;
  V dot = C(0);
  for (int64_t i = 0; i < n; i += V::lanes) {
    const int count = lanes_left<C>(n - i);
    dot += log ? load(dy + i, count) : load(dy + i, count) * load(y + i, count);
  }
  const C d = sum(dot);
  for (int64_t i = 0; i < n; i += V::lanes) {
    const int count = lanes_left<C>(n - i);
    const V g = load(dy + i, count), p = load(y + i, count);
    store(dx + i, (log ? g - exp(p) * d : p * (g - d)) * scale, count);
  }
}

template <class T>
void forward(const SoftmaxArgs& a) {
  using C = compute_t<T>;
  const int64_t n = a.x.shape[a.axis];
  const Rows xs(a.x, a.axis), ys(a.y, a.axis);
  std::optional<Rows> masks;
  if (a.mask) masks.emplace(*a.mask, a.axis);
  const C scale = static_cast<C>(1.0 / a.temperature);
  parallel_for(xs.count(), kGrain / (n + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> in(n, xs.axis_stride()), out(n, ys.axis_stride());
    std::vector<T> masked(a.mask ? n : 0);
    std::vector<C> exps(std::is_same_v<T, C> ? 0 : n);
    for (int64_t r = begin; r < end; ++r) {
      const T* x = in.read(a.x.as<T>() + xs.offset(r));
      if (masks) {
        const auto* keep = a.mask->as<uint8_t>() + masks->offset(r);
        const int64_t stride = masks->axis_stride();
        for (int64_t i = 0; i < n; ++i) {
          masked[i] = keep[i * stride] ? x[i] : narrow<T>(-kInf<C>);
        }
        x = masked.data();
      }
      T* row = a.y.as<T>() + ys.offset(r);
      T* y = out.target(row);
      if constexpr (std::is_same_v<T, C>) {
        softmax_row(x, y, y, n, scale, a.log);
      } else {
        softmax_row(x, y, exps.data(), n, scale, a.log);
      }
      out.write(row);
    }
  });
}

template <class T>
void backward(const SoftmaxBackwardArgs& a) {
  using C = compute_t<T>;
  const int64_t n = a.y.shape[a.axis];
  const Rows dys(a.dy, a.axis), ys(a.y, a.axis), dxs(a.dx, a.axis);
  const C scale = static_cast<C>(1.0 / a.temperature);
  parallel_for(ys.count(), kGrain / (n + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> dy_in(n, dys.axis_stride()), y_in(n, ys.axis_stride()), out(n, dxs.axis_stride());
    for (int64_t r = begin; r < end; ++r) {
      T* row = a.dx.as<T>() + dxs.offset(r);
      softmax_row_backward(dy_in.read(a.dy.as<T>() + dys.offset(r)),
                           y_in.read(a.y.as<T>() + ys.offset(r)), out.target(row), n, scale, a.log);
      out.write(row);
    }
  });
}

}  // namespace

void softmax_forward(const SoftmaxArgs& a) {
  if (a.x.size() == 0) return;
  with_float_type(a.x.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(a); });
}

void softmax_backward(const SoftmaxBackwardArgs& a) {
  if (a.y.size() == 0) return;
  with_float_type(a.y.dtype, [&](auto tag) { backward<typename decltype(tag)::type>(a); });
}

}  // namespace pyllm::PYLLM_ISA
