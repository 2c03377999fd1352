// Adafactor (Shazeer and Stern 2018, algorithms 4 and 5) of one parameter, g = scale * grad:
//
//   R = beta2 R + (1 - beta2) mean over columns of (g^2 + eps), C alike over rows   (matrices)
//   u = g / sqrt(R C / mean(R)),  or V = beta2 V + (1 - beta2) (g^2 + eps), u = g / sqrt(V)
//   u = u / max(1, rms(u) / clip_threshold)
//   p = p (1 - a weight_decay) - a u,  a = lr max(least_rms, rms(p));  with beta1: the mean of a u
//
// Three passes, for rms(p) and the means, rms(u), and the update, since each needs all of the one
// before: gradients are read three times, parameters twice. Every sum is over blocks of fixed size,
// in float64 across them, so that a result does not depend on the number of threads.
#include "cpu/optim/adafactor.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/parallel.h"
#include "core/scratch.h"
#include "cpu/optim/storage.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kRows = 64;        // of a matrix in a block
constexpr int64_t kElements = 4096;  // of a vector in a block
constexpr int64_t kGrain = 16384;    // elements that are worth a thread

template <class T>
Vec<T> reciprocal_root(Vec<T> a) {
  return Vec<T>(T(1)) / sqrt(a);
}

// P: storage of the parameter, G of the gradient.
template <class P, class G>
class Adafactor {
  using C = compute_t<P>;
  using V = Vec<C>;

 public:
  explicit Adafactor(const AdafactorArgs& args)
      : a_(args),
        params_(args.param.as<P>()),
        master_(args.master ? args.master->as<C>() : nullptr),
        grads_(args.grad.as<G>()),
        exp_avg_(args.exp_avg ? args.exp_avg->as<C>() : nullptr),
        scale_(C(args.grad_scale)) {}

  void factored() {
    const int64_t rows = a_.batches * a_.rows, cols = a_.cols;
    const int64_t per_matrix = (a_.rows + kRows - 1) / kRows, blocks = a_.batches * per_matrix;
    Scratch<C> by_column(blocks * cols);
    std::vector<double> weights(blocks), updates(blocks);
    const auto each_row = [&](auto&& visit) {  // visit(block, row of all matrices)
      parallel_for(blocks, std::max<int64_t>(1, kGrain / (kRows * cols)),
                   [&](int64_t first, int64_t last) {
                     for (int64_t block = first; block < last; ++block) {
                       const int64_t start = block % per_matrix * kRows;
                       const int64_t matrix = block / per_matrix * a_.rows;
                       const int64_t end = std::min(start + kRows, a_.rows);
                       for (int64_t i = start; i < end; ++i) visit(block, matrix + i, i == start);
                     }
                   });
    };

    C* row_state = a_.row.as<C>();
    each_row([&](int64_t block, int64_t row, bool fresh) {
      C* column = by_column.data() + block * cols;
      V squares = C(0), weight = C(0);
      for (int64_t j = 0; j < cols; j += V::lanes) {
        const int count = lanes_left<C>(cols - j);
        const int64_t at = row * cols + j;
        const V g = gradient(at, count), p = parameter(at, count);
        squares += g * g;
        weight += p * p;
        store(column + j, fresh ? g * g : load(column + j, count) + g * g, count);
      }
      row_state[row] = averaged(row_state[row], sum(squares) / C(cols));
      weights[block] += sum(weight);
    });

    C* column_state = a_.col.as<C>();
    Scratch<C> row_factor(rows), column_factor(a_.batches * cols);
    for (int64_t b = 0; b < a_.batches; ++b) {
      std::vector<double> total(cols);
      for (int64_t block = b * per_matrix; block < (b + 1) * per_matrix; ++block) {
        for (int64_t j = 0; j < cols; ++j) total[j] += by_column[block * cols + j];
      }
      for (int64_t j = b * cols; j < (b + 1) * cols; ++j) {
        column_state[j] = averaged(column_state[j], C(total[j - b * cols] / double(a_.rows)));
        column_factor[j] = 1 / std::sqrt(column_state[j]);
      }
      const C* state = row_state + b * a_.rows;
      const C mean = C(std::accumulate(state, state + a_.rows, 0.0) / double(a_.rows));
      for (int64_t i = 0; i < a_.rows; ++i) {
        row_factor[b * a_.rows + i] = 1 / std::sqrt(state[i] / mean);
      }
    }

    const auto direction = [&](int64_t row, int64_t j, int count) {
      const C* column = column_factor.data() + row / a_.rows * cols;
      return gradient(row * cols + j, count) * V(row_factor[row]) * load(column + j, count);
    };
    each_row([&](int64_t block, int64_t row, bool) {
      V squares = C(0);
      for (int64_t j = 0; j < cols; j += V::lanes) {
        const V u = direction(row, j, lanes_left<C>(cols - j));
        squares += u * u;
      }
      updates[block] += sum(squares);
    });

    set_rates(weights, updates);
    each_row([&](int64_t, int64_t row, bool) {
      for (int64_t j = 0; j < cols; j += V::lanes) {
        const int count = lanes_left<C>(cols - j);
        apply(row * cols + j, direction(row, j, count), count);
      }
    });
  }

  void whole() {
    C* state = a_.square.as<C>();
    const int64_t blocks = (a_.cols + kElements - 1) / kElements;
    std::vector<double> weights(blocks), updates(blocks);
    const auto each_vector = [&](auto&& visit) {  // visit(block, index, count)
      parallel_for(blocks, kGrain / kElements, [&](int64_t first, int64_t last) {
        for (int64_t block = first; block < last; ++block) {
          const int64_t end = std::min((block + 1) * kElements, a_.cols);
          for (int64_t i = block * kElements; i < end; i += V::lanes) {
            visit(block, i, lanes_left<C>(end - i));
          }
        }
      });
    };
    each_vector([&](int64_t block, int64_t i, int count) {
      const V g = gradient(i, count), p = parameter(i, count);
      const V square = load(state + i, count, C(1)) * V(C(a_.beta2)) +
                       (g * g + V(C(a_.eps))) * V(C(1 - a_.beta2));
      store(state + i, square, count);
      const V u = g * reciprocal_root(square);
      weights[block] += sum(p * p);
      updates[block] += sum(u * u);
    });
    set_rates(weights, updates);
    each_vector([&](int64_t, int64_t i, int count) {
      apply(i, gradient(i, count) * reciprocal_root(load(state + i, count, C(1))), count);
    });
  }

 private:
  V gradient(int64_t i, int count) const { return load(grads_ + i, count) * scale_; }
  V parameter(int64_t i, int count) const {
    return master_ ? load(master_ + i, count) : load(params_ + i, count);
  }
  C averaged(C state, C mean) const {
    return C(a_.beta2) * state + C(1 - a_.beta2) * (mean + C(a_.eps));
  }

  // What is left to know after the sums: the step size of u, and what p loses.
  void set_rates(const std::vector<double>& weights, const std::vector<double>& updates) {
    const auto rms = [&](const std::vector<double>& sums) {
      return std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0) / double(a_.param.size()));
    };
    const double lr = a_.scale_parameter ? a_.lr * std::max(a_.least_rms, rms(weights)) : a_.lr;
    const double clip = rms(updates) / a_.clip_threshold;
    rate_ = C(lr / (clip > 1 || std::isnan(clip) ? clip : 1));
    decay_ = C(lr * a_.weight_decay);
  }

  void apply(int64_t i, V u, int count) const {
    V step = u * rate_;
    if (exp_avg_) {
      step = load(exp_avg_ + i, count) * V(C(a_.beta1)) + step * V(C(1 - a_.beta1));
      store(exp_avg_ + i, step, count);
    }
    const V p = parameter(i, count);
    const V next = p - p * decay_ - step;
    if (master_) store(master_ + i, next, count);
    store(params_ + i, next, count);
  }

  const AdafactorArgs& a_;
  P* params_;
  C* master_;
  const G* grads_;
  C* exp_avg_;
  V scale_, rate_, decay_;
};

template <class P, class G>
void step(const AdafactorArgs& a) {
  a.factored ? Adafactor<P, G>(a).factored() : Adafactor<P, G>(a).whole();
}

}  // namespace

void adafactor_step(const AdafactorArgs& a) {
  if (a.param.size() == 0) return;
  with_storage(
      a, [&](auto p, auto g) { step<typename decltype(p)::type, typename decltype(g)::type>(a); });
}

}  // namespace pyllm::PYLLM_ISA
