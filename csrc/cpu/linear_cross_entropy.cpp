// The vocabulary projection and its loss, a chunk of rows at a time:
//
//   logits  = hidden_c weight^T + bias      into the chunk's buffer
//   dlogits = gradient of the loss          in its place
//   dhidden_c = dlogits weight,  dweight += dlogits^T hidden_c,  dbias += column sums of dlogits
//
// The buffer is in the compute type whatever the storage type, and the only memory that grows with
// the vocabulary besides the gradients asked for. Larger chunks read weight and dweight less often.
#include "cpu/linear_cross_entropy.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "core/scratch.h"
#include "cpu/batches.h"
#include "cpu/cross_entropy_rows.h"
#include "cpu/product.h"
#include "cpu/rows.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kChunkBytes = int64_t{52} << 20;

int64_t chunk_rows(int64_t rows, int64_t row_bytes) {
  const int64_t most = std::max<int64_t>(16, kChunkBytes / std::max<int64_t>(row_bytes, 1));
  const int64_t chunks = std::max<int64_t>(1, (rows + most - 1) / most);
  return std::max<int64_t>(1, (rows + chunks - 1) / chunks);
}

Matrix whole(const Array& a) {
  return matrix(a, 0, a.shape[0], a.strides[0]);
}

template <class T>
class Loss {
 public:
  using C = compute_t<T>;

  explicit Loss(const LinearCrossEntropyArgs& a)
      : a_(a),
        pieces_(a.gradients ? RowPieces({&a.hidden, &a.dhidden}) : RowPieces({&a.hidden})),
        rows_(pieces_.count() * pieces_.rows()),
        classes_(a.weight.shape[0]),
        rule_(a.options, classes_),
        total_weight_(rule_.total_weight(rows_)),
        losses_(rows_),
        bias_(a.bias ? widened<C>(*a.bias) : std::vector<C>()),
        dbias_(a.dbias ? classes_ : 0) {}

  void run() {
    const int64_t height = chunk_rows(pieces_.rows(), classes_ * int64_t(sizeof(C)));
    const Scratch<C> logits(height * classes_);
    // Partial sums in a 16-bit dweight would be rounded at every chunk.
    const bool wide_sum = a_.gradients && size_of(a_.dweight.dtype) == 2 && height < rows_;
    const Scratch<C> sum(wide_sum ? a_.dweight.size() : 0);
    Matrix dweight;
    if (a_.gradients) dweight = whole(a_.dweight);
    if (wide_sum) {
      dweight = {sum.data(), DType::f32, classes_, dweight.columns, dweight.columns, 1};
    }
    bool add = a_.accumulate && !wide_sum;
    for (int64_t i = 0; i < pieces_.count(); ++i) {
      for (int64_t begin = 0; begin < pieces_.rows(); begin += height) {
        const int64_t count = std::min(height, pieces_.rows() - begin);
        chunk(i, begin, count, logits.data(), dweight, add);
        add = true;
      }
    }
    reduce_losses(losses_.data(), rows_, a_.options.reduction, total_weight_, a_.loss.as<C>());
    if (!a_.gradients) return;
    if (rows_ == 0 && !a_.accumulate) fill_zero(a_.dweight);
    if (wide_sum) add_rows(sum.data());
    if (a_.dbias) add_to(*a_.dbias, dbias_.data(), 0);
  }

 private:
  // Rows [begin, begin + height) of a piece of hidden.
  void chunk(int64_t piece, int64_t begin, int64_t height, C* logits, const Matrix& dweight,
             bool add) {
    const auto rows_of = [&](const Array& array) {
      const Matrix all = pieces_.piece(array, piece);
      return all.block(begin, 0, height, all.columns);
    };
    const int64_t first_row = piece * pieces_.rows() + begin;
    const Matrix hidden = rows_of(a_.hidden);
    const Matrix weight = whole(a_.weight);
    const Matrix buffer{
        logits, sizeof(C) == 8 ? DType::f64 : DType::f32, height, classes_, classes_, 1};
    Product forward;
    forward.a = hidden, forward.b = weight.transposed(), forward.c = buffer;
    product(forward);
    const double scale =
        a_.grad_scale * (a_.options.reduction == Reduction::mean ? 1 / total_weight_ : 1.0);
    parallel_for(height, 8192 / (classes_ + 1) + 1, [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        C* x = logits + r * classes_;
        if (a_.bias) add_bias(x);
        C lse;
        losses_[first_row + r] = rule_.loss(x, first_row + r, lse);
        if (a_.gradients) rule_.gradient(x, x, first_row + r, lse, static_cast<C>(scale));
      }
    });
    if (!a_.gradients) return;
    if (a_.dbias) sum_columns(logits, height);
    Product back;
    back.a = buffer, back.b = weight, back.c = rows_of(a_.dhidden);
    product(back);
    Product outer;
    outer.a = buffer.transposed(), outer.b = hidden, outer.c = dweight;
    outer.accumulate = add;
    product(outer);
  }

  void add_bias(C* x) const {
    for (int64_t c = 0; c < classes_; c += Vec<C>::lanes) {
      const int count = lanes_left<C>(classes_ - c);
      store(x + c, load(x + c, count) + load(&bias_[c], count), count);
    }
  }

  // Each thread sums its own columns over all rows, so the order of the sum never changes.
  void sum_columns(const C* dlogits, int64_t height) {
    parallel_for(classes_, 1024, [&](int64_t first, int64_t last) {
      for (int64_t r = 0; r < height; ++r) {
        const C* row = dlogits + r * classes_;
        for (int64_t c = first; c < last; c += Vec<C>::lanes) {
          const int count = lanes_left<C>(last - c);
          store(&dbias_[c], load(&dbias_[c], count) + load(row + c, count), count);
        }
      }
    });
  }

  // target's row = sum (+ what it holds)
  void add_to(const Array& target, const C* sum, int64_t row) const {
    with_float_type(target.dtype, [&](auto tag) {
      using U = typename decltype(tag)::type;
      const int64_t stride = target.strides[target.ndim - 1];
      U* out = target.as<U>() + (target.ndim == 2 ? row * target.strides[0] : 0);
      for (int64_t j = 0; j < target.shape[target.ndim - 1]; ++j) {
        const C before = a_.accumulate ? C(widen(out[j * stride])) : C(0);
        out[j * stride] = narrow<U>(static_cast<compute_t<U>>(before + sum[j]));
      }
    });
  }

  void add_rows(const C* sum) const {
    const int64_t width = a_.dweight.shape[1];
    parallel_for(classes_, 8192 / (width + 1) + 1, [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) add_to(a_.dweight, sum + r * width, r);
    });
  }

  void fill_zero(const Array& target) const {
    const std::vector<C> zeros(target.shape[1]);
    for (int64_t r = 0; r < target.shape[0]; ++r) add_to(target, zeros.data(), r);
  }

  const LinearCrossEntropyArgs& a_;
  RowPieces pieces_;
  int64_t rows_, classes_;
  RowLoss<C> rule_;
  double total_weight_;
  std::vector<C> losses_, bias_, dbias_;
};

}  // namespace

void linear_cross_entropy(const LinearCrossEntropyArgs& a) {
  with_float_type(a.hidden.dtype, [&](auto tag) { Loss<typename decltype(tag)::type>(a).run(); });
}

}  // namespace pyllm::PYLLM_ISA
