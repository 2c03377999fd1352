// softmax down an axis beside which the elements of another axis lie: a vector of them at a time,
// instead of gathering columns. Every row of the panel is read where it stands.
#pragma once

#include <cmath>

#include "cpu/simd.h"
#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {

constexpr int kPanelVectors = 4;  // columns side by side: whole cache lines, registers to spare

// x, y: n rows, x_stride and y_stride apart, of `width` <= kPanelVectors vectors of elements.
template <class T>
class SoftmaxPanel {
 public:
  using C = compute_t<T>;
  using V = Vec<C>;

  SoftmaxPanel(int64_t n, int64_t width, C scale, bool log)
      : n_(n), width_(width), scale_(scale), binary_(scale * C(kLog2E)), log_(log) {}

  void forward(const T* x, int64_t x_stride, T* y, int64_t y_stride) const {
    constexpr C kInf = std::numeric_limits<C>::infinity();
    V top[kPanelVectors], total[kPanelVectors];
    for (int j = 0; j < kPanelVectors; ++j) top[j] = -kInf, total[j] = C(0);
    each(x, x_stride, [&](int j, const T* p, int count, int64_t) {
      top[j] = max(load(p, count, -kInf), top[j]);
    });
    // A column that is all -inf has no distribution: shifted by 0 instead, its sum stays 0.
    V shift[kPanelVectors];
    for (int j = 0; j < kPanelVectors; ++j) {
      shift[j] = select<C>(top[j] == V(-kInf), V(C(0)), top[j]);
    }
    each(x, x_stride, [&](int j, const T* p, int count, int64_t) {
      total[j] += exp2_nonpositive((load(p, count, -kInf) - shift[j]) * binary_);
    });
    for (int j = 0; j < kPanelVectors; ++j) {
      if (log_) {
        total[j] = pyllm::PYLLM_ISA::log(total[j]);
      } else {
        total[j] = select<C>(total[j] == V(C(0)), V(C(0)), V(C(1)) / total[j]);
      }
    }
    each(x, x_stride, [&](int j, const T* p, int count, int64_t i) {
      const V below = load(p, count) - shift[j];
      const V r = !log_ ? exp2_nonpositive(below * binary_) * total[j]
                        : select<C>(top[j] == V(-kInf), V(-kInf), below * scale_ - total[j]);
      store(y + i * y_stride + j * V::lanes, r, count);
    });
  }

  void backward(const T* dy, int64_t dy_stride, const T* y, int64_t y_stride, T* dx,
                int64_t dx_stride) const {
    V dot[kPanelVectors];
    for (V& d : dot) d = C(0);
    each(dy, dy_stride, [&](int j, const T* p, int count, int64_t i) {
      const V g = load(p, count);
      dot[j] += log_ ? g : g * load(y + i * y_stride + j * V::lanes, count);
    });
    each(dy, dy_stride, [&](int j, const T* p, int count, int64_t i) {
      const V g = load(p, count), v = load(y + i * y_stride + j * V::lanes, count);
      store(dx + i * dx_stride + j * V::lanes,
            (log_ ? g - exp(v) * dot[j] : v * (g - dot[j])) * scale_, count);
    });
  }

 private:
  // f(vector of the row, its elements, how many, row)
  template <class F>
  void each(const T* x, int64_t stride, F&& f) const {
    if (width_ == kPanelVectors * V::lanes) {
      for (int64_t i = 0; i < n_; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < kPanelVectors; ++j) f(j, x + i * stride + j * V::lanes, V::lanes, i);
      }
      return;
    }
    for (int64_t i = 0; i < n_; ++i) {
      for (int j = 0; j * V::lanes < width_; ++j) {
        f(j, x + i * stride + j * V::lanes, lanes_left<C>(width_ - j * V::lanes), i);
      }
    }
  }

  int64_t n_, width_;
  V scale_, binary_;  // 1 / temperature; times log2(e)
  bool log_;
};

}  // namespace pyllm::PYLLM_ISA
