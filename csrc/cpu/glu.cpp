// Gated linear units (Shazeer 2020): swiglu with silu, geglu with gelu.
//
//   forward   y = act(g) u,  g = gate + gate_bias,  u = up + up_bias    reads gate, up; writes y
//   backward  dgate = dy u act'(g),  dup = dy act(g);  dgate_bias, dup_bias: their sums over all
//             axes but the last
//
// Saved for backward: gate and up, which may be the strided halves of one packed product, as may
// dgate and dup. act and act' share their exponential.
#include "cpu/activation.h"
#include "cpu/elementwise.h"
#include "cpu/rows.h"
#include "cpu/sums.h"

namespace pyllm::PYLLM_ISA {
namespace {

// Row `axis` of a broadcast bias in the compute type; zeros where there is none.
template <class C>
std::vector<C> bias_row(const Array* bias, int64_t n, int axis) {
  if (!bias) return std::vector<C>(n, C(0));
  Array row = *bias;
  row.shape[0] = n, row.strides[0] = bias->strides[axis];
  return widened<C>(row);
}

template <class T, Activation kind>
void forward_plain(const GluArgs& a) {
  using C = compute_t<T>;
  elementwise<T, 2, 1>({a.gate, a.up}, {a.y}, [](auto in, auto out, int64_t, int64_t n, auto put) {
    write_vectors(put, out[0], n, [&](int64_t i, int count) {
      fetch_ahead(in[0] + i);
      fetch_ahead(in[1] + i);
      return activate<kind, C>(load(in[0] + i, count)) * load(in[1] + i, count);
    });
  });
}

template <class T, Activation kind>
void forward_with_bias(const GluArgs& a) {
  using C = compute_t<T>;
  const int axis = a.gate.ndim - 1;
  const int64_t n = a.gate.shape[axis];
  const Rows gates(a.gate, axis), ups(a.up, axis), ys(a.y, axis);
  const auto gate_bias = bias_row<C>(a.gate_bias, n, axis);
  const auto up_bias = bias_row<C>(a.up_bias, n, axis);
  parallel_for(gates.count(), kElementwiseGrain / (n + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> gate_in(n, gates.axis_stride()), up_in(n, ups.axis_stride());
    RowBuffer<T> out(n, ys.axis_stride());
    for (int64_t r = begin; r < end; ++r) {
      const T* gate = gate_in.read(a.gate.as<T>() + gates.offset(r));
      const T* up = up_in.read(a.up.as<T>() + ups.offset(r));
      T* row = a.y.as<T>() + ys.offset(r);
      T* y = out.target(row);
      for_vectors<C>(n, [&](int64_t i, int count) {
        const Vec<C> g = load(gate + i, count) + load(gate_bias.data() + i, count);
        const Vec<C> u = load(up + i, count) + load(up_bias.data() + i, count);
        store(y + i, activate<kind, C>(g) * u, count);
      });
      out.write(row);
    }
  });
}

template <class T, Activation kind>
void backward_plain(const GluBackwardArgs& a) {
  using C = compute_t<T>;
  elementwise<T, 3, 2>({a.dy, a.gate, a.up}, {a.dgate, a.dup},
                       [](auto in, auto out, int64_t, int64_t n, auto put) {
                         write_vectors(put, out[0], n, [&](int64_t i, int count) {
                           const Vec<C> dy = load(in[0] + i, count), g = load(in[1] + i, count);
                           const auto [act, slope] = activation_and_slope<kind, C>(g);
                           const Vec<C> dgate = dy * load(in[2] + i, count) * slope;
                           put(out[1] + i, dy * act, count);
                           return dgate;
                         });
                       });
}

template <class T, Activation kind>
void backward_with_bias(const GluBackwardArgs& a) {
  using C = compute_t<T>;
  const int axis = a.gate.ndim - 1;
  const int64_t n = a.gate.shape[axis];
  const Rows dys(a.dy, axis), gates(a.gate, axis), ups(a.up, axis);
  const Rows dgates(a.dgate, axis), dups(a.dup, axis);
  const auto gate_bias = bias_row<C>(a.gate_bias, n, axis);
  const auto up_bias = bias_row<C>(a.up_bias, n, axis);
  const Scratch<C> totals(static_cast<size_t>(2 * n));
  column_sums(gates.count(), 2 * n, totals.data(), [&](int64_t begin, int64_t end, C* partial) {
    RowBuffer<T> dy_in(n, dys.axis_stride()), gate_in(n, gates.axis_stride());
    RowBuffer<T> up_in(n, ups.axis_stride()), dgate_out(n, dgates.axis_stride());
    RowBuffer<T> dup_out(n, dups.axis_stride());
    for (int64_t r = begin; r < end; ++r) {
      const T* dy = dy_in.read(a.dy.as<T>() + dys.offset(r));
      const T* gate = gate_in.read(a.gate.as<T>() + gates.offset(r));
      const T* up = up_in.read(a.up.as<T>() + ups.offset(r));
      T *dgate_row = a.dgate.as<T>() + dgates.offset(r), *dgate = dgate_out.target(dgate_row);
      T *dup_row = a.dup.as<T>() + dups.offset(r), *dup = dup_out.target(dup_row);
      for_vectors<C>(n, [&](int64_t i, int count) {
        const Vec<C> d = load(dy + i, count);
        const Vec<C> g = load(gate + i, count) + load(gate_bias.data() + i, count);
        const Vec<C> u = load(up + i, count) + load(up_bias.data() + i, count);
        const auto [act, slope] = activation_and_slope<kind, C>(g);
        const Vec<C> dg = d * u * slope, du = d * act;
        store(dgate + i, dg, count);
        store(dup + i, du, count);
        store(partial + i, load(partial + i, count) + dg, count);
        store(partial + n + i, load(partial + n + i, count) + du, count);
      });
      dgate_out.write(dgate_row);
      dup_out.write(dup_row);
    }
  });
  if (a.dgate_bias) write_vector(totals.data(), *a.dgate_bias);
  if (a.dup_bias) write_vector(totals.data() + n, *a.dup_bias);
}

}  // namespace

void glu_forward(const GluArgs& a) {
  with_float_type(a.gate.dtype, [&](auto tag) {
    with_activation(a.kind, [&](auto kind) {
      using T = typename decltype(tag)::type;
      constexpr Activation act = decltype(kind)::value;
      a.gate_bias || a.up_bias ? forward_with_bias<T, act>(a) : forward_plain<T, act>(a);
    });
  });
}

void glu_backward(const GluBackwardArgs& a) {
  with_float_type(a.gate.dtype, [&](auto tag) {
    with_activation(a.kind, [&](auto kind) {
      using T = typename decltype(tag)::type;
      constexpr Activation act = decltype(kind)::value;
      a.gate_bias || a.up_bias ? backward_with_bias<T, act>(a) : backward_plain<T, act>(a);
    });
  });
}

}  // namespace pyllm::PYLLM_ISA
