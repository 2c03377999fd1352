// softmax and log_softmax along one axis.
//
//   forward   y_i = exp(s (x_i - m)) / sum_j exp(s (x_j - m)),  m = max_j x_j,  s = 1 / temperature
//             log: y_i = s (x_i - m) - log sum_j exp(s (x_j - m))
//             with an additive mask a: s x_i + a_i in place of s x_i
//   backward  dx_i = s y_i (dy_i - sum_j dy_j y_j)
//             log: dx_i = s (dy_i - exp(y_i) sum_j dy_j)
//
// Saved for backward: y alone. Rows are split among threads and memory sees x once and y once, a
// row during the arithmetic of the one before. Along an axis that is not the last, neighbouring
// columns are worked on side by side (softmax_columns.h).
#include "cpu/softmax.h"

#include <optional>

#include "core/parallel.h"
#include "cpu/bytes.h"
#include "cpu/rows.h"
#include "cpu/softmax_columns.h"
#include "cpu/softmax_rows.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 8192;  // elements a thread should have to be worth waking

// scaled[i] = s x_i where the mask keeps i, else -inf; or s x_i + mask_i.
template <class T, class C = compute_t<T>>
void apply_mask(const T* x, const Array& mask, int64_t offset, int64_t stride, int64_t n, C scale,
                C* scaled) {
  constexpr C kInf = std::numeric_limits<C>::infinity();
  if (mask.dtype == DType::boolean) {
    const auto* keep = mask.as<uint8_t>() + offset;
    for (int64_t i = 0; i < n; ++i) {
      scaled[i] = keep[i * stride] ? widen(x[i]) * scale : -kInf;
    }
    return;
  }
  with_float_type(mask.dtype, [&](auto tag) {
    using M = typename decltype(tag)::type;
    const M* bias = mask.as<M>() + offset;
    for (int64_t i = 0; i < n; ++i) {
      scaled[i] = widen(x[i]) * scale + static_cast<C>(widen(bias[i * stride]));
    }
  });
}

// Whether the axis runs across contiguous elements of the last axis in all arrays.
bool runs_across(std::initializer_list<const Array*> arrays, int axis) {
  const int last = (*arrays.begin())->ndim - 1;
  for (const Array* a : arrays) {
    if (axis == last || a->strides[last] != 1 || a->shape[last] < 2) return false;
  }
  return true;
}

// f(first element of each array, columns) for panels of columns, split among the threads.
template <class C, size_t N, class F>
void panels(const std::array<const Array*, N>& arrays, int axis, F&& f) {
  constexpr int64_t kWidth = kPanelVectors * Vec<C>::lanes;
  const Array& first = *arrays[0];
  const int64_t columns = first.shape[first.ndim - 1], n = first.shape[axis];
  const int64_t across = (columns + kWidth - 1) / kWidth;
  std::vector<Rows> outer;
  for (const Array* a : arrays) {
    Array without_columns = *a;
    --without_columns.ndim;
    outer.emplace_back(without_columns, axis);
  }
  parallel_for(outer[0].count() * across, kGrain / (n * kWidth + 1) + 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t p = begin; p < end; ++p) {
                   const int64_t column = p % across * kWidth;
                   std::array<int64_t, N> offsets;
                   for (size_t k = 0; k < N; ++k) {
                     offsets[k] = outer[k].offset(p / across) + column;
                   }
                   f(offsets, std::min(kWidth, columns - column));
                 }
               });
}

template <class T>
void forward(const SoftmaxArgs& a) {
  using C = compute_t<T>;
  const int64_t n = a.x.shape[a.axis];
  const C scale = static_cast<C>(1.0 / a.temperature);
  if (!a.mask && runs_across({&a.x, &a.y}, a.axis)) {
    panels<C, 2>({&a.x, &a.y}, a.axis, [&](const auto& offsets, int64_t width) {
      SoftmaxPanel<T>(n, width, scale, a.log)
          .forward(a.x.as<T>() + offsets[0], a.x.strides[a.axis], a.y.as<T>() + offsets[1],
                   a.y.strides[a.axis]);
    });
    return;
  }
  const Rows xs(a.x, a.axis), ys(a.y, a.axis);
  std::optional<Rows> masks;
  if (a.mask) masks.emplace(*a.mask, a.axis);
  const bool streamed = ys.axis_stride() == 1 && a.x.data != a.y.data && streams(a.y);
  parallel_for(xs.count(), kGrain / (n + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> in(n, xs.axis_stride()), out(n, ys.axis_stride());
    std::vector<C> scaled(a.mask ? n : 0);
    const bool in_place = std::is_same_v<T, C> && !streamed;  // exponentials where y goes
    std::vector<C> buffer(in_place ? 0 : n);
    with_writer(streamed, [&](auto put) {
      for (int64_t r = begin; r < end; ++r) {
        const T* x = in.read(a.x.as<T>() + xs.offset(r));
        const T* next = r + 1 < end && xs.axis_stride() == 1 ? a.x.as<T>() + xs.offset(r + 1) : x;
        T* row = a.y.as<T>() + ys.offset(r);
        T* y = out.target(row);
        C* exps = buffer.data();
        if constexpr (std::is_same_v<T, C>) {
          if (in_place) exps = y;
        }
        if (a.mask) {
          apply_mask(x, *a.mask, masks->offset(r), masks->axis_stride(), n, scale, scaled.data());
          softmax_row(put, scaled.data(), scaled.data(), y, exps, n, C(1), a.log);
        } else {
          softmax_row(put, x, next, y, exps, n, scale, a.log);
        }
        out.write(row);
      }
    });
  });
}

template <class T>
void backward(const SoftmaxBackwardArgs& a) {
  using C = compute_t<T>;
  const int64_t n = a.y.shape[a.axis];
  const C scale = static_cast<C>(1.0 / a.temperature);
  if (runs_across({&a.dy, &a.y, &a.dx}, a.axis)) {
    panels<C, 3>({&a.dy, &a.y, &a.dx}, a.axis, [&](const auto& offsets, int64_t width) {
      SoftmaxPanel<T>(n, width, scale, a.log)
          .backward(a.dy.as<T>() + offsets[0], a.dy.strides[a.axis], a.y.as<T>() + offsets[1],
                    a.y.strides[a.axis], a.dx.as<T>() + offsets[2], a.dx.strides[a.axis]);
    });
    return;
  }
  const Rows dys(a.dy, a.axis), ys(a.y, a.axis), dxs(a.dx, a.axis);
  const bool contiguous = dys.axis_stride() == 1 && ys.axis_stride() == 1 && dxs.axis_stride() == 1;
  const bool streamed =
      contiguous && a.dx.data != a.dy.data && a.dx.data != a.y.data && streams(a.dx);
  parallel_for(ys.count(), kGrain / (n + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> dy_in(n, dys.axis_stride()), y_in(n, ys.axis_stride()), out(n, dxs.axis_stride());
    with_writer(streamed, [&](auto put) {
      for (int64_t r = begin; r < end; ++r) {
        T* target = a.dx.as<T>() + dxs.offset(r);
        const T* dy = dy_in.read(a.dy.as<T>() + dys.offset(r));
        const T* y = y_in.read(a.y.as<T>() + ys.offset(r));
        const bool more = contiguous && r + 1 < end;
        const SoftmaxGradientRow<T> row{dy, y, more ? a.dy.as<T>() + dys.offset(r + 1) : dy,
                                        more ? a.y.as<T>() + ys.offset(r + 1) : y,
                                        out.target(target)};
        softmax_row_backward(put, row, n, scale, a.log);
        out.write(target);
      }
    });
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
