// y = act(z), z = x W^T + b, with m rows. Bias and activation are applied to each tile of the
// product by the task that computed it, before it is stored.
//
// Backward: g = dy act'(z) and its column sums (dbias) come from one pass over dy and z; then
// dx = g W and dW = g^T x are plain products. Without an activation g is dy itself.
//
// Column sums are taken over fixed chunks of rows and added in the order of the chunks, so dbias
// has the same bits at any thread count.
#include "cpu/linear.h"

#include <optional>
#include <vector>

#include "core/parallel.h"
#include "core/scratch.h"
#include "cpu/batches.h"
#include "cpu/product.h"
#include "cpu/rows.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kSumRows = 64;

// ---- forward ----

template <Activation kind, class T, class C>
void finish_row(C* z, int64_t n, const C* bias, T* preactivation, int64_t stride) {
  for (int64_t j = 0; j < n; j += Vec<C>::lanes) {
    const int count = lanes_left<C>(n - j);
    Vec<C> value = load(z + j, count);
    if (bias) value += load(bias + j, count);
    if (preactivation && stride == 1) store(preactivation + j, value, count);
    if (preactivation && stride != 1) {
      for (int i = 0; i < count; ++i) preactivation[(j + i) * stride] = narrow<T>(value[i]);
    }
    store(z + j, activate<kind, C>(value), count);
  }
}

template <class T>
void forward(const LinearArgs& a) {
  using C = compute_t<T>;
  const bool plain = !a.bias && !a.preactivation && a.activation == Activation::none;
  const std::vector<C> bias = a.bias ? widened<C>(*a.bias) : std::vector<C>();
  const RowPieces pieces({&a.x, &a.y, a.preactivation});
  for (int64_t i = 0; i < pieces.count(); ++i) {
    Product p;
    p.a = pieces.piece(a.x, i);
    p.b = matrix(a.weight, 0, a.weight.shape[0], a.weight.strides[0]).transposed();
    p.c = pieces.piece(a.y, i);
    std::optional<Matrix> kept;
    if (a.preactivation) kept = pieces.piece(*a.preactivation, i);
    const auto finish = [&](const Tile& t) {
      with_activation(a.activation, [&](auto tag) {
        for (int64_t r = 0; r < t.rows; ++r) {
          T* row = kept ? static_cast<T*>(kept->block(t.row + r, t.column, 1, 1).data) : nullptr;
          finish_row<decltype(tag)::value>(static_cast<C*>(t.data) + r * t.stride, t.columns,
                                           a.bias ? bias.data() + t.column : nullptr, row,
                                           kept ? kept->column_stride : 1);
        }
      });
    };
    const FunctionRef<void(const Tile&)> epilogue(finish);
    if (!plain) p.epilogue = &epilogue;
    product(p);
  }
}

// ---- backward ----

template <class T>
const T* element(const Matrix& x, int64_t row, int64_t column) {
  return static_cast<const T*>(x.data) + row * x.row_stride + column * x.column_stride;
}

// Rows [begin, end) of g, and their sum over rows. Each of g and sums may be null.
template <Activation kind, class T, class C>
void slope_rows(const Matrix& grad, const Matrix* z, T* g, C* sums, int64_t begin, int64_t end) {
  const int64_t n = grad.columns;
  const bool adjacent = grad.column_stride == 1 && (!z || z->column_stride == 1);
  for (int64_t r = begin; r < end; ++r) {
    for (int64_t j = 0; j < n; j += Vec<C>::lanes) {
      const int count = lanes_left<C>(n - j);
      Vec<C> dy, x = C(0);
      if (adjacent) {
        dy = load(element<T>(grad, r, j), count);
        if (kind != Activation::none) x = load(element<T>(*z, r, j), count);
      } else {
        dy = C(0);
        for (int i = 0; i < count; ++i) {
          dy.v[i] = widen(*element<T>(grad, r, j + i));
          if (kind != Activation::none) x.v[i] = widen(*element<T>(*z, r, j + i));
        }
      }
      if (kind != Activation::none) dy *= activation_slope<kind, C>(x);
      if (g) store(g + r * n + j, dy, count);
      if (sums) store(sums + j, load(sums + j, count) + dy, count);
    }
  }
}

template <class C>
void add_sums(const std::vector<C>& partial, int64_t n, const Array& dbias, bool accumulate) {
  with_float_type(dbias.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t j = 0; j < n; ++j) {
      C total = 0;
      for (size_t chunk = 0; chunk * n < partial.size(); ++chunk) total += partial[chunk * n + j];
      T& out = dbias.as<T>()[j * dbias.strides[0]];
      out = narrow<T>(static_cast<compute_t<T>>(accumulate ? C(widen(out)) + total : total));
    }
  });
}

// g and the sums of a piece. Returns grad itself where there is no activation.
template <class T, class C>
Matrix activation_backward(const LinearBackwardArgs& a, const Matrix& grad, const Matrix* z,
                           Scratch<T>& g, bool accumulate) {
  const int64_t m = grad.rows, n = grad.columns;
  const bool active = a.activation != Activation::none;
  if (active) g = Scratch<T>(m * n);
  const int64_t chunks = (m + kSumRows - 1) / kSumRows;
  std::vector<C> partial(a.dbias ? chunks * n : 0);
  if (active || a.dbias) {
    with_activation(a.activation, [&](auto tag) {
      parallel_for(chunks, 8192 / (n * kSumRows + 1) + 1, [&](int64_t begin, int64_t end) {
        for (int64_t c = begin; c < end; ++c) {
          slope_rows<decltype(tag)::value>(grad, z, g.data(),
                                           a.dbias ? partial.data() + c * n : nullptr, c * kSumRows,
                                           std::min(m, (c + 1) * kSumRows));
        }
      });
    });
  }
  if (a.dbias) add_sums(partial, n, *a.dbias, accumulate);
  return active ? Matrix{g.data(), grad.dtype, m, n, n, 1} : grad;
}

template <class C>
void zero(const Array& a) {
  const int64_t rows = a.ndim == 2 ? a.shape[0] : 1;
  with_float_type(a.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < a.shape[a.ndim - 1]; ++j) {
        a.as<T>()[(a.ndim == 2 ? i * a.strides[0] : 0) + j * a.strides[a.ndim - 1]] = T{};
      }
    }
  });
}

template <class T>
void backward(const LinearBackwardArgs& a) {
  using C = compute_t<T>;
  const RowPieces pieces({&a.grad, &a.x, a.preactivation, a.dx});
  const Matrix weight = matrix(a.weight, 0, a.weight.shape[0], a.weight.strides[0]);
  if (pieces.count() == 0 && !a.accumulate) {
    if (a.dweight) zero<C>(*a.dweight);
    if (a.dbias) zero<C>(*a.dbias);
  }
  for (int64_t i = 0; i < pieces.count(); ++i) {
    const bool add = a.accumulate || i > 0;
    std::optional<Matrix> z;
    if (a.preactivation) z = pieces.piece(*a.preactivation, i);
    Scratch<T> scratch;
    const Matrix g =
        activation_backward<T, C>(a, pieces.piece(a.grad, i), z ? &*z : nullptr, scratch, add);
    if (a.dx) {
      Product p;
      p.a = g, p.b = weight, p.c = pieces.piece(*a.dx, i);
      product(p);
    }
    if (a.dweight) {
      Product p;
      p.a = g.transposed(), p.b = pieces.piece(a.x, i);
      p.c = matrix(*a.dweight, 0, a.dweight->shape[0], a.dweight->strides[0]);
      p.accumulate = add;
      product(p);
    }
  }
}

}  // namespace

void linear_forward(const LinearArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(a); });
}

void linear_backward(const LinearBackwardArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) { backward<typename decltype(tag)::type>(a); });
}

}  // namespace pyllm::PYLLM_ISA
