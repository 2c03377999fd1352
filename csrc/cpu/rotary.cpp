// Rotary position embedding (Su et al. 2021, RoFormer).
//
//   forward   y1 = x1 cos - x2 sin,  y2 = x2 cos + x1 sin    for each pair (x1, x2) of features
//   backward  the same with -sin: a rotation's transpose is its inverse
//
// Pair i of position t turns by t base^(-2i / dim), read from the tables (length, half); features
// past the rotated ones are copied. Nothing is saved for backward. Positions are split among
// threads; a row of the tables is widened once and serves all heads. Reads x and writes y once.
#include "cpu/rotary.h"

#include "core/parallel.h"
#include "cpu/elementwise.h"
#include "cpu/rows.h"

namespace pyllm::PYLLM_ISA {
namespace {

// T rows of one position's heads; cos and sin in the compute type.
template <class T, class C>
void rotate_halves(const T* x, T* y, const C* cos, const C* sin, int64_t half) {
  for_vectors<C>(half, [&](int64_t i, int count) {
    const Vec<C> x1 = load(x + i, count), x2 = load(x + half + i, count);
    const Vec<C> c = load(cos + i, count), s = load(sin + i, count);
    store(y + i, x1 * c - x2 * s, count);
    store(y + half + i, x2 * c + x1 * s, count);
  });
}

// `wide` holds 2 half values: pairs are rotated there, where the compiler interleaves the lanes.
template <class T, class C>
void rotate_pairs(const T* x, T* y, const C* cos, const C* sin, int64_t half, C* wide) {
  for_vectors<C>(2 * half,
                 [&](int64_t i, int count) { store(wide + i, load(x + i, count), count); });
  for (int64_t i = 0; i < half; ++i) {
    const C x1 = wide[2 * i], x2 = wide[2 * i + 1];
    wide[2 * i] = x1 * cos[i] - x2 * sin[i];
    wide[2 * i + 1] = x2 * cos[i] + x1 * sin[i];
  }
  for_vectors<C>(2 * half,
                 [&](int64_t i, int count) { store(y + i, load(wide + i, count), count); });
}

template <class C>
void widen_row(const Array& table, int64_t row, C sign, C* out) {
  with_float_type(table.dtype, [&](auto tag) {
    using S = typename decltype(tag)::type;
    const S* from = table.as<S>() + row * table.strides[0];
    for (int64_t i = 0; i < table.shape[1]; ++i) {
      out[i] = sign * static_cast<C>(widen(from[i * table.strides[1]]));
    }
  });
}

template <class T>
void run(const RotaryArgs& a) {
  using C = compute_t<T>;
  const int64_t seq = a.x.shape[1], heads = a.x.shape[2], dim = a.x.shape[3];
  const int64_t half = a.cos.shape[1];
  const int64_t rows = a.x.shape[0] * seq;
  parallel_for(rows, 16384 / (heads * dim + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> in(dim, a.x.strides[3]), out(dim, a.y.strides[3]);
    std::vector<C> cos(half), sin(half), wide(a.interleaved ? 2 * half : 0);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t b = r / seq, t = r % seq;
      widen_row<C>(a.cos, a.positions[r], C(1), cos.data());
      widen_row<C>(a.sin, a.positions[r], a.inverse ? C(-1) : C(1), sin.data());
      for (int64_t h = 0; h < heads; ++h) {
        const T* x =
            in.read(a.x.as<T>() + b * a.x.strides[0] + t * a.x.strides[1] + h * a.x.strides[2]);
        T* row = a.y.as<T>() + b * a.y.strides[0] + t * a.y.strides[1] + h * a.y.strides[2];
        T* y = out.target(row);
        if (a.interleaved) {
          rotate_pairs(x, y, cos.data(), sin.data(), half, wide.data());
        } else {
          rotate_halves(x, y, cos.data(), sin.data(), half);
        }
        if (x != y) std::copy(x + 2 * half, x + dim, y + 2 * half);
        out.write(row);
      }
    }
  });
}

}  // namespace

void rotary(const RotaryArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) { run<typename decltype(tag)::type>(a); });
}

}  // namespace pyllm::PYLLM_ISA
