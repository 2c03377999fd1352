// First and second derivatives of the losses of boosting, row by row.
//
// With margin s, target y, weight w (LightGBM's definitions, and XGBoost's but for softmax, where
// its hessian is 2 p_k (1 - p_k)):
//
//   loss        gradient / w                  hessian / w
//   squared     s - y                         1                     (of (s - y)^2 / 2)
//   absolute    sign(s - y)                   1
//   huber       clip(s - y, -delta, delta)    1
//   quantile    [s > y] - alpha, 0 at s = y   1
//   poisson     e^s - y                       e^(s + 0.7): the 0.7 keeps steps short
//   gamma       1 - y e^-s                    y e^-s
//   tweedie     e^((2-p)s) - y e^((1-p)s)     (2-p) e^((2-p)s) - (1-p) y e^((1-p)s)
//   logistic    sigmoid(s) - y                sigmoid(s) (1 - sigmoid(s))
//   softmax     p_k - [y = k]                 K / (K - 1) p_k (1 - p_k) for K classes (Friedman)
//
// Hessians that could vanish are kept at 1e-16 w. Margins under an exponential are clamped to
// [-40, 40], so that every gradient is a finite float32. All arithmetic is in double, rounded once
// to float32 at the end; portable_math.h says why the bits are the same everywhere. Memory: margin,
// target and weight read once, both results written once.
#include "cpu/trees/objective.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "cpu/trees/portable_math.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 8192;  // rows a thread should have to be worth waking
constexpr double kSmallestHessian = 1e-16;

struct Derivatives {
  double gradient, hessian;
};

inline double clamp(double x, double bound) {
  x = x < -bound ? -bound : x;
  return x > bound ? bound : x;
}
inline double at_least_smallest(double hessian) {
  return hessian < kSmallestHessian ? kSmallestHessian : hessian;
}

// rule(margin, target) -> Derivatives; inlined into its own loop, which the compiler vectorises.
template <class Rule>
void each_row(const RowGradientArgs& a, Rule rule) {
  parallel_for(a.n, kGrain, [&](int64_t begin, int64_t end) {
    const double* __restrict margin = a.margin;
    const double* __restrict target = a.target;
    const double* __restrict weight = a.weight;
    float* __restrict gradient = a.gradient;
    float* __restrict hessian = a.hessian;
    if (weight) {
      for (int64_t i = begin; i < end; ++i) {
        const Derivatives d = rule(margin[i], target[i]);
        gradient[i] = static_cast<float>(d.gradient * weight[i]);
        hessian[i] = static_cast<float>(d.hessian * weight[i]);
      }
    } else {
      for (int64_t i = begin; i < end; ++i) {
        const Derivatives d = rule(margin[i], target[i]);
        gradient[i] = static_cast<float>(d.gradient);
        hessian[i] = static_cast<float>(d.hessian);
      }
    }
  });
}

// The loops of softmax over the rows of one class.
void exp_difference(const double* __restrict margin, const double* __restrict top,
                    double* __restrict exps, double* __restrict total, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) {
    exps[i] = portable_exp(margin[i] - top[i]);
    total[i] += exps[i];
  }
}
void class_derivatives(const double* __restrict exps, const double* __restrict inverse,
                       const double* __restrict weight, const int32_t* __restrict target, int32_t k,
                       double factor, float* __restrict gradient, float* __restrict hessian,
                       int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) {
    const double p = exps[i] * inverse[i];
    const double hit = target[i] == k ? 1.0 : 0.0;
    gradient[i] = static_cast<float>((p - hit) * weight[i]);
    hessian[i] = static_cast<float>(at_least_smallest(factor * (p * (1.0 - p))) * weight[i]);
  }
}

}  // namespace

void row_gradient(const RowGradientArgs& a) {
  const double parameter = a.parameter;
  switch (a.loss) {
    case RowLossKind::squared:
      return each_row(a, [](double s, double y) { return Derivatives{s - y, 1.0}; });
    case RowLossKind::absolute:
      return each_row(a, [](double s, double y) {
        return Derivatives{(s > y ? 1.0 : 0.0) - (s < y ? 1.0 : 0.0), 1.0};
      });
    case RowLossKind::huber:
      return each_row(
          a, [parameter](double s, double y) { return Derivatives{clamp(s - y, parameter), 1.0}; });
    case RowLossKind::quantile:
      return each_row(a, [parameter](double s, double y) {
        return Derivatives{(s > y ? 1.0 - parameter : 0.0) - (s < y ? parameter : 0.0), 1.0};
      });
    case RowLossKind::poisson:
      return each_row(a, [](double s, double y) {
        const double mean = portable_exp(clamp(s, 40.0));
        return Derivatives{mean - y, mean * 2.0137527074704766};
      });
    case RowLossKind::gamma:
      return each_row(a, [](double s, double y) {
        const double ratio = y * portable_exp(-clamp(s, 40.0));
        return Derivatives{1.0 - ratio, at_least_smallest(ratio)};
      });
    case RowLossKind::tweedie:
      return each_row(a, [parameter](double s, double y) {
        s = clamp(s, 40.0);
        const double left = y * portable_exp((1.0 - parameter) * s);
        const double right = portable_exp((2.0 - parameter) * s);
        return Derivatives{right - left,
                           at_least_smallest((2.0 - parameter) * right - (1.0 - parameter) * left)};
      });
    case RowLossKind::logistic:
      return each_row(a, [](double s, double y) {
        const double p = portable_sigmoid(s);
        return Derivatives{p - y, at_least_smallest(p * (1.0 - p))};
      });
  }
}

// Rows go through in blocks that stay in the L1 cache, a class at a time: the maximum, the
// exponentials and their sum, then the results.
void softmax_gradient(const SoftmaxGradientArgs& a) {
  const int64_t n = a.n;
  const double factor =
      static_cast<double>(a.classes) / static_cast<double>(std::max<int64_t>(a.classes - 1, 1));
  const int64_t block = std::max<int64_t>(16, 2048 / a.classes);  // exponentials: 16 KiB or so
  parallel_for(n, kGrain / (a.classes + 1) + 1, [&](int64_t begin, int64_t end) {
    std::vector<double> buffer((a.classes + 3) * block);
    double* top = buffer.data();
    double* total = top + block;
    double* scale = total + block;
    double* exps = scale + block;
    for (int64_t first = begin; first < end; first += block) {
      const int64_t rows = std::min(block, end - first);
      std::copy_n(a.margin + first, rows, top);
      for (int64_t k = 1; k < a.classes; ++k) {
        const double* margin = a.margin + k * n + first;
        for (int64_t i = 0; i < rows; ++i) top[i] = margin[i] > top[i] ? margin[i] : top[i];
      }
      std::fill_n(total, rows, 0.0);
      for (int64_t k = 0; k < a.classes; ++k) {
        exp_difference(a.margin + k * n + first, top, exps + k * block, total, rows);
      }
      for (int64_t i = 0; i < rows; ++i) total[i] = 1.0 / total[i];
      if (a.weight) {
        std::copy_n(a.weight + first, rows, scale);
      } else {
        std::fill_n(scale, rows, 1.0);
      }
      for (int64_t k = 0; k < a.classes; ++k) {
        class_derivatives(exps + k * block, total, scale, a.target + first, static_cast<int32_t>(k),
                          factor, a.gradient + k * n + first, a.hessian + k * n + first, rows);
      }
    }
  });
}

}  // namespace pyllm::PYLLM_ISA
