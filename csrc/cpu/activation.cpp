// Elementwise activations of x + bias, and their gradient.
//
//   forward   y = act(x + bias)                         reads x, writes y
//   backward  dx = dy act'(x + bias), dbias = sum of dx over all axes but the last
//
// Saved for backward: x. Without a bias the array is one run of elements; with one, backward goes
// row by row and adds up dbias in the pass that writes dx.
#include "cpu/activation.h"

#include "cpu/elementwise.h"
#include "cpu/rows.h"
#include "cpu/sums.h"

namespace pyllm::PYLLM_ISA {
namespace {

template <class T, Activation kind>
void forward(const ActivationArgs& a) {
  using C = compute_t<T>;
  if (a.bias) {
    elementwise<T, 2, 1>(
        {a.x, *a.bias}, {a.y}, [](auto in, auto out, int64_t, int64_t n, auto put) {
          write_vectors(put, out[0], n, [&](int64_t i, int count) {
            return activate<kind, C>(load(in[0] + i, count) + load(in[1] + i, count));
          });
        });
  } else {
    elementwise<T, 1, 1>({a.x}, {a.y}, [](auto in, auto out, int64_t, int64_t n, auto put) {
      write_vectors(put, out[0], n, [&](int64_t i, int count) {
        fetch_ahead(in[0] + i);
        return activate<kind, C>(load(in[0] + i, count));
      });
    });
  }
}

template <class T, Activation kind>
void backward_with_bias(const ActivationBackwardArgs& a) {
  using C = compute_t<T>;
  const int axis = a.x.ndim - 1;
  const int64_t n = a.x.shape[axis];
  const Rows dys(a.dy, axis), xs(a.x, axis), dxs(a.dx, axis);
  Array bias_row = *a.bias;
  bias_row.shape[0] = n, bias_row.strides[0] = a.bias->strides[axis];
  const std::vector<C> bias = widened<C>(bias_row);
  const Scratch<C> totals(static_cast<size_t>(n));
  column_sums(xs.count(), n, totals.data(), [&](int64_t begin, int64_t end, C* dbias) {
    RowBuffer<T> dy_in(n, dys.axis_stride()), x_in(n, xs.axis_stride()), out(n, dxs.axis_stride());
    for (int64_t r = begin; r < end; ++r) {
      const T* dy = dy_in.read(a.dy.as<T>() + dys.offset(r));
      const T* x = x_in.read(a.x.as<T>() + xs.offset(r));
      T* row = a.dx.as<T>() + dxs.offset(r);
      T* dx = out.target(row);
      for_vectors<C>(n, [&](int64_t i, int count) {
        const Vec<C> slope =
            activation_slope<kind, C>(load(x + i, count) + load(bias.data() + i, count));
        const Vec<C> d = load(dy + i, count) * slope;
        store(dx + i, d, count);
        store(dbias + i, load(dbias + i, count) + d, count);
      });
      out.write(row);
    }
  });
  write_vector(totals.data(), *a.dbias);
}

template <class T, Activation kind>
void backward(const ActivationBackwardArgs& a) {
  using C = compute_t<T>;
  if (a.bias) return backward_with_bias<T, kind>(a);
  elementwise<T, 2, 1>({a.dy, a.x}, {a.dx}, [](auto in, auto out, int64_t, int64_t n, auto put) {
    write_vectors(put, out[0], n, [&](int64_t i, int count) {
      fetch_ahead(in[0] + i);
      fetch_ahead(in[1] + i);
      return load(in[0] + i, count) * activation_slope<kind, C>(load(in[1] + i, count));
    });
  });
}

}  // namespace

void activation_forward(const ActivationArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) {
    with_activation(a.kind, [&](auto kind) {
      forward<typename decltype(tag)::type, decltype(kind)::value>(a);
    });
  });
}

void activation_backward(const ActivationBackwardArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) {
    with_activation(a.kind, [&](auto kind) {
      backward<typename decltype(tag)::type, decltype(kind)::value>(a);
    });
  });
}

}  // namespace pyllm::PYLLM_ISA
