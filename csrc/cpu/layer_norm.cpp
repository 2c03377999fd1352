// layer_norm along the last axis, with the residual addition before it in the same pass.
//
//   forward   s = x + residual,  xhat = (s - mean(s)) rstd(s),  y = xhat w + b,
//             rstd = 1 / sqrt(var(s) + eps), the variance by a second pass over the row in cache
//   backward  g = dy w,  ds = rstd (g - mean(g) - xhat mean(g xhat)) + what arrives at s,
//             dw = sum over rows of dy xhat,  db = sum over rows of dy
//
// Saved: s, mean, rstd. Memory sees x, residual, s and y once (forward), dy, s, ds once (backward).
// dw and db are summed in a number of row blocks that does not depend on the threads, and the
// blocks' sums in order, so that the result is the same at any thread count.
#include "cpu/layer_norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "cpu/rows.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 8192;     // elements a thread should have to be worth waking
constexpr int64_t kBlockRows = 64;   // rows a partial sum of dw and db has at least
constexpr int64_t kMostBlocks = 32;  // partial sums at most

template <class C>
std::vector<C> parameter(const Array* a, int64_t n, C fallback) {
  return a ? widened<C>(*a) : std::vector<C>(n, fallback);
}

template <class T, class C>
void normalize(const T* s, const C* weight, const C* bias, T* y, int64_t n, C eps, C& mean,
               C& rstd) {
  using V = Vec<C>;
  V total = C(0);
  for (int64_t i = 0; i < n; i += V::lanes) total += load(s + i, lanes_left<C>(n - i));
  mean = sum(total) / C(n);
  V squares = C(0);
  for (int64_t i = 0; i < n; i += V::lanes) {
    const V d = load(s + i, lanes_left<C>(n - i), mean) - mean;
    squares += d * d;
  }
  rstd = C(1) / std::sqrt(sum(squares) / C(n) + eps);
  for (int64_t i = 0; i < n; i += V::lanes) {
    const int count = lanes_left<C>(n - i);
    const V xhat = (load(s + i, count) - mean) * rstd;
    store(y + i, xhat * load(weight + i, count) + load(bias + i, count), count);
  }
}

template <class T>
void forward(const LayerNormArgs& a) {
  using C = compute_t<T>;
  const int axis = a.x.ndim - 1;
  const int64_t n = a.x.shape[axis];
  const Rows xs(a.x, axis), ys(a.y, axis), rs(a.residual ? *a.residual : a.x, axis),
      ss(a.sum ? *a.sum : a.x, axis);
  const auto weight = parameter<C>(a.weight, n, 1), bias = parameter<C>(a.bias, n, 0);
  C* means = a.mean.as<C>();
  C* rstds = a.rstd.as<C>();
  parallel_for(xs.count(), kGrain / (n + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> x_in(n, xs.axis_stride()), r_in(n, rs.axis_stride()), s_out(n, ss.axis_stride()),
        y_out(n, ys.axis_stride());
    for (int64_t r = begin; r < end; ++r) {
      const T* s = x_in.read(a.x.as<T>() + xs.offset(r));
      if (a.residual) {
        const T* residual = r_in.read(a.residual->as<T>() + rs.offset(r));
        T* row = a.sum->as<T>() + ss.offset(r);
        T* target = s_out.target(row);
        for (int64_t i = 0; i < n; i += Vec<C>::lanes) {
          const int count = lanes_left<C>(n - i);
          store(target + i, load(s + i, count) + load(residual + i, count), count);
        }
        s_out.write(row);
        s = target;
      }
      T* row = a.y.as<T>() + ys.offset(r);
      normalize(s, weight.data(), bias.data(), y_out.target(row), n, C(a.eps), means[r], rstds[r]);
      y_out.write(row);
    }
  });
}

template <class T, class C>
void backward_row(const T* dy, const T* s, const T* more, const C* weight, T* ds, C* dweight,
                  C* dbias, int64_t n, C mean, C rstd) {
  using V = Vec<C>;
  V total = C(0), along = C(0);
  for (int64_t i = 0; i < n; i += V::lanes) {
    const int count = lanes_left<C>(n - i);
    const V g = load(dy + i, count), xhat = (load(s + i, count, mean) - mean) * rstd;
    const V gw = g * load(weight + i, count);
    total += gw;
    along += gw * xhat;
    if (dweight) {
      store(dweight + i, load(dweight + i, count) + g * xhat, count);
      store(dbias + i, load(dbias + i, count) + g, count);
    }
  }
  const C mean_g = sum(total) / C(n), mean_gx = sum(along) / C(n);
  for (int64_t i = 0; i < n; i += V::lanes) {
    const int count = lanes_left<C>(n - i);
    const V xhat = (load(s + i, count) - mean) * rstd;
    V d = (load(dy + i, count) * load(weight + i, count) - mean_g - xhat * mean_gx) * rstd;
    if (more) d += load(more + i, count);
    store(ds + i, d, count);
  }
}

template <class C>
void add_up(const std::vector<C>& partial, int64_t blocks, int64_t n, int64_t offset,
            const Array& out) {
  with_float_type(out.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < n; ++i) {
      C total = 0;
      for (int64_t b = 0; b < blocks; ++b) total += partial[b * 2 * n + offset + i];
      out.as<T>()[i * out.strides[0]] = narrow<T>(static_cast<compute_t<T>>(total));
    }
  });
}

template <class T>
void backward(const LayerNormBackwardArgs& a) {
  using C = compute_t<T>;
  const int axis = a.s.ndim - 1;
  const int64_t n = a.s.shape[axis];
  const Rows gs(a.grad, axis), ss(a.s, axis), ds(a.dx, axis),
      ms(a.grad_sum ? *a.grad_sum : a.s, axis);
  const auto weight = parameter<C>(a.weight, n, 1);
  const C* means = a.mean.as<C>();
  const C* rstds = a.rstd.as<C>();
  const int64_t rows = ss.count();
  const int64_t blocks = std::clamp<int64_t>((rows + kBlockRows - 1) / kBlockRows, 1, kMostBlocks);
  std::vector<C> partial(a.dweight ? blocks * 2 * n : 0);
  parallel_for(
      blocks, kGrain / (n * (rows / blocks + 1) + 1) + 1, [&](int64_t first, int64_t last) {
        RowBuffer<T> g_in(n, gs.axis_stride()), s_in(n, ss.axis_stride()),
            m_in(n, ms.axis_stride()), out(n, ds.axis_stride());
        for (int64_t block = first; block < last; ++block) {
          C* dweight = a.dweight ? partial.data() + block * 2 * n : nullptr;
          C* dbias = a.dweight ? dweight + n : nullptr;
          for (int64_t r = block * rows / blocks; r < (block + 1) * rows / blocks; ++r) {
            const T* more = a.grad_sum ? m_in.read(a.grad_sum->as<T>() + ms.offset(r)) : nullptr;
            T* row = a.dx.as<T>() + ds.offset(r);
            backward_row(g_in.read(a.grad.as<T>() + gs.offset(r)),
                         s_in.read(a.s.as<T>() + ss.offset(r)), more, weight.data(),
                         out.target(row), dweight, dbias, n, means[r], rstds[r]);
            out.write(row);
          }
        }
      });
  if (!a.dweight) return;
  add_up(partial, blocks, n, 0, *a.dweight);
  if (a.dbias) add_up(partial, blocks, n, n, *a.dbias);
}

}  // namespace

void layer_norm_forward(const LayerNormArgs& a) {
  if (a.x.size() == 0) return;
  with_float_type(a.x.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(a); });
}

void layer_norm_backward(const LayerNormBackwardArgs& a) {
  with_float_type(a.s.dtype, [&](auto tag) { backward<typename decltype(tag)::type>(a); });
}

}  // namespace pyllm::PYLLM_ISA
