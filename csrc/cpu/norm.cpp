// layer_norm (Ba et al. 2016) and rms_norm (Zhang & Sennrich 2019) along the last axis.
//
//   forward   s = x + residual,  h = (s - mean) rstd,  y = h weight + bias
//             layer: mean = avg(s), rstd = 1 / sqrt(avg((s - mean)^2) + eps)
//             rms:   mean = 0,      rstd = 1 / sqrt(avg(s^2) + eps)
//   backward  u = dy weight;  dx = rstd (u - avg(u) - h avg(u h)) + grad_sum   (rms: no avg(u))
//             dweight = sum over rows of dy h,  dbias = sum over rows of dy
//
// Saved for backward: s, mean and rstd. Rows are split among threads; one is read from memory once
// and from the cache after that, the variance about the mean in a pass of its own (no
// cancellation). Backward writes dx and adds up dweight and dbias in the same pass over dy and s.
#include "cpu/norm.h"

#include <cmath>
#include <optional>

#include "core/parallel.h"
#include "cpu/elementwise.h"
#include "cpu/rows.h"
#include "cpu/sums.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 16384;  // elements a thread should have to be worth waking

template <class C>
struct Statistics {
  C mean, rstd;
};

// `next`: what to fetch during the first pass, so that memory reads while the sums run and writes
// while the row is written.
template <Norm kind, class T, class C>
Statistics<C> statistics(const T* s, const T* next, int64_t n, C eps) {
  using V = Vec<C>;
  C mean = 0;
  if constexpr (kind == Norm::layer) {
    mean = row_sums<C, 1>(n,
                          [&](int64_t i, int count, V* t) {
                            __builtin_prefetch(next + i);
                            t[0] = load(s + i, count);
                          })[0] /
           static_cast<C>(n);
  }
  const C squares = row_sums<C, 1>(n, [&](int64_t i, int count, V* t) {
    if constexpr (kind == Norm::rms) __builtin_prefetch(next + i);
    const V d = load(s + i, count, mean) - mean;  // the fill adds nothing
    t[0] = d * d;
  })[0];
  return {mean, C(1) / std::sqrt(squares / static_cast<C>(n) + eps)};
}

template <Norm kind, bool has_weight, bool has_bias, class Put, class T, class C>
void write_row(Put put, const T* s, T* y, int64_t n, Statistics<C> st, const C* weight,
               const C* bias) {
  write_vectors(put, y, n, [&](int64_t i, int count) {
    Vec<C> h = load(s + i, count);
    if constexpr (kind == Norm::layer) h -= st.mean;
    h *= st.rstd;
    if constexpr (has_weight) h *= load(weight + i, count);
    if constexpr (has_bias) h += load(bias + i, count);
    return h;
  });
}

// A vector of the affine part in the compute type: where it stands, or widened.
template <class C>
class Affine {
 public:
  explicit Affine(const Array* a) {
    if (!a) return;
    if (a->dtype == (sizeof(C) == 8 ? DType::f64 : DType::f32) &&
        (a->strides[0] == 1 || a->shape[0] <= 1)) {
      data_ = a->as<C>();
    } else {
      copy_ = widened<C>(*a);
      data_ = copy_.data();
    }
  }
  const C* data() const { return data_; }

 private:
  std::vector<C> copy_;
  const C* data_ = nullptr;
};

template <Norm kind, class T>
void forward(const NormArgs& a) {
  using C = compute_t<T>;
  const int axis = a.x.ndim - 1;
  const int64_t n = a.x.shape[axis];
  const Rows xs(a.x, axis), ys(a.y, axis);
  std::optional<Rows> residuals, sums;
  if (a.residual) residuals.emplace(*a.residual, axis), sums.emplace(*a.sum, axis);
  const Affine<C> weight(a.weight), bias(a.bias);
  const bool streamed = a.y.data != a.x.data && !a.residual && starts_on_lines(a.y) && streams(a.y);
  const auto write = [&](auto put, const T* s, T* y, Statistics<C> st) {
    const C *w = weight.data(), *b = bias.data();
    if (w && b) {
      write_row<kind, true, true>(put, s, y, n, st, w, b);
    } else if (w) {
      write_row<kind, true, false>(put, s, y, n, st, w, b);
    } else if (b) {
      write_row<kind, false, true>(put, s, y, n, st, w, b);
    } else {
      write_row<kind, false, false>(put, s, y, n, st, w, b);
    }
  };
  parallel_for(xs.count(), kGrain / (n + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> in(n, xs.axis_stride()), out(n, ys.axis_stride());
    RowBuffer<T> residual_in(n, residuals ? residuals->axis_stride() : 1);
    RowBuffer<T> sum_out(n, sums ? sums->axis_stride() : 1);
    with_writer(streamed, [&](auto put) {
      for (int64_t r = begin; r < end; ++r) {
        const T* s = in.read(a.x.as<T>() + xs.offset(r));
        const T* next = r + 1 < end && xs.axis_stride() == 1 ? a.x.as<T>() + xs.offset(r + 1) : s;
        if (residuals) {
          const T* residual = residual_in.read(a.residual->as<T>() + residuals->offset(r));
          T* row = a.sum->as<T>() + sums->offset(r);
          T* target = sum_out.target(row);
          for_vectors<C>(n, [&](int64_t i, int count) {
            store(target + i, load(s + i, count) + load(residual + i, count), count);
          });
          sum_out.write(row);
          s = target;
        }
        const auto st = statistics<kind, T, C>(s, next, n, static_cast<C>(a.eps));
        if (a.mean) a.mean->as<C>()[r] = st.mean;
        if (a.rstd) a.rstd->as<C>()[r] = st.rstd;
        T* row = a.y.as<T>() + ys.offset(r);
        write(put, s, out.target(row), st);
        out.write(row);
      }
    });
  });
}

template <class T>
struct BackwardRow {
  const T *dy, *s, *grad_sum;
  const T *next_dy, *next_s;  // to fetch meanwhile
  T* dx;
  int64_t n;
};

template <Norm kind, bool has_weight, class Put, class T, class C>
void backward_row(Put put, const BackwardRow<T>& row, Statistics<C> st, const C* weight, C* dweight,
                  C* dbias) {
  using V = Vec<C>;
  const auto normalised = [&](int64_t i, int count) {
    V h = load(row.s + i, count);
    if constexpr (kind == Norm::layer) h -= st.mean;
    return h * st.rstd;
  };
  const auto weighted = [&](V dy, int64_t i, int count) {
    if constexpr (has_weight) return dy * load(weight + i, count);
    return dy;
  };
  const auto sums = row_sums<C, 2>(row.n, [&](int64_t i, int count, V* t) {
    t[0] = weighted(load(row.dy + i, count), i, count);
    t[1] = t[0] * normalised(i, count);
  });
  const C mean_u = kind == Norm::layer ? sums[0] / static_cast<C>(row.n) : C(0);
  const C mean_uh = sums[1] / static_cast<C>(row.n);
  write_vectors(put, row.dx, row.n, [&](int64_t i, int count) {
    __builtin_prefetch(row.next_dy + i);
    __builtin_prefetch(row.next_s + i);
    const V dy = load(row.dy + i, count), h = normalised(i, count);
    V dx = (weighted(dy, i, count) - mean_u - h * mean_uh) * st.rstd;
    if (row.grad_sum) dx += load(row.grad_sum + i, count);
    if (dweight) store(dweight + i, load(dweight + i, count) + dy * h, count);
    if (dbias) store(dbias + i, load(dbias + i, count) + dy, count);
    return dx;
  });
}

template <Norm kind, class T>
void backward(const NormBackwardArgs& a) {
  using C = compute_t<T>;
  const int axis = a.x.ndim - 1;
  const int64_t n = a.x.shape[axis];
  const Rows dys(a.dy, axis), xs(a.x, axis), dxs(a.dx, axis);
  std::optional<Rows> grad_sums;
  if (a.grad_sum) grad_sums.emplace(*a.grad_sum, axis);
  const Affine<C> weight(a.weight);
  const int64_t width = n * ((a.dweight ? 1 : 0) + (a.dbias ? 1 : 0));
  const Scratch<C> totals(static_cast<size_t>(width));
  const bool contiguous = dys.axis_stride() == 1 && xs.axis_stride() == 1;
  const bool streamed = a.dx.data != a.dy.data && a.dx.data != a.x.data && !a.grad_sum &&
                        starts_on_lines(a.dx) && streams(a.dx);
  const auto rows = [&](int64_t begin, int64_t end, C* partial) {
    C* dweight = a.dweight ? partial : nullptr;
    C* dbias = a.dbias ? partial + n : nullptr;
    RowBuffer<T> dy_in(n, dys.axis_stride()), x_in(n, xs.axis_stride());
    RowBuffer<T> sum_in(n, grad_sums ? grad_sums->axis_stride() : 1), out(n, dxs.axis_stride());
    with_writer(streamed, [&](auto put) {
      for (int64_t r = begin; r < end; ++r) {
        T* target = a.dx.as<T>() + dxs.offset(r);
        const T* dy = dy_in.read(a.dy.as<T>() + dys.offset(r));
        const T* s = x_in.read(a.x.as<T>() + xs.offset(r));
        const bool more = contiguous && r + 1 < end;
        const BackwardRow<T> row{
            dy,
            s,
            grad_sums ? sum_in.read(a.grad_sum->as<T>() + grad_sums->offset(r)) : nullptr,
            more ? a.dy.as<T>() + dys.offset(r + 1) : dy,
            more ? a.x.as<T>() + xs.offset(r + 1) : s,
            out.target(target),
            n};
        const Statistics<C> st{a.mean ? a.mean->as<C>()[r] : C(0), a.rstd.as<C>()[r]};
        if (weight.data()) {
          backward_row<kind, true>(put, row, st, weight.data(), dweight, dbias);
        } else {
          backward_row<kind, false>(put, row, st, weight.data(), dweight, dbias);
        }
        out.write(target);
      }
    });
  };
  if (width == 0) {
    parallel_for(xs.count(), kGrain / (n + 1) + 1,
                 [&](int64_t begin, int64_t end) { rows(begin, end, nullptr); });
    return;
  }
  column_sums(xs.count(), width, totals.data(), rows);
  if (a.dweight) write_vector(totals.data(), *a.dweight);
  if (a.dbias) write_vector(totals.data() + n, *a.dbias);
}

template <class F>
void dispatch(Norm kind, DType dtype, F&& f) {
  with_float_type(dtype, [&](auto tag) {
    if (kind == Norm::layer) {
      f(tag, std::integral_constant<Norm, Norm::layer>{});
    } else {
      f(tag, std::integral_constant<Norm, Norm::rms>{});
    }
  });
}

}  // namespace

void norm_forward(const NormArgs& a) {
  dispatch(a.kind, a.x.dtype, [&](auto tag, auto kind) {
    forward<decltype(kind)::value, typename decltype(tag)::type>(a);
  });
}

void norm_backward(const NormBackwardArgs& a) {
  dispatch(a.kind, a.x.dtype, [&](auto tag, auto kind) {
    backward<decltype(kind)::value, typename decltype(tag)::type>(a);
  });
}

}  // namespace pyllm::PYLLM_ISA
