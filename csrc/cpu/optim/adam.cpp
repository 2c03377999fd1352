// Adam (Kingma and Ba 2015), AdamW (Loshchilov and Hutter 2019), AMSGrad (Reddi et al. 2018):
//
//   g  = scale * grad                     (Adam: + weight_decay * p)
//   m  = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2     (AMSGrad: w = max(w, v))
//   p  = p (1 - lr weight_decay) - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
//
// float32 moves 28 bytes an element: p, m, v read and written, grad read; 16 with quantised states.
#include "cpu/optim/adam.h"

#include <cmath>

#include "cpu/optim/update.h"

namespace pyllm::PYLLM_ISA {
namespace {

template <class C>
struct AdamRule {
  using V = Vec<C>;

  explicit AdamRule(const AdamArgs& a)
      : exp_avg(a.exp_avg.as<C>()),
        exp_avg_sq(a.exp_avg_sq.as<C>()),
        largest(a.max_exp_avg_sq.as<C>()),
        beta1(C(a.beta1)),
        beta2(C(a.beta2)),
        rest1(C(1 - a.beta1)),
        rest2(C(1 - a.beta2)),
        eps(C(a.eps)),
        root(C(1 / std::sqrt(1 - std::pow(a.beta2, double(a.step))))),
        rate(C(a.lr / (1 - std::pow(a.beta1, double(a.step))))),
        keep(C(a.decoupled ? 1 - a.lr * a.weight_decay : 1)),
        pull(C(a.decoupled ? 0 : a.weight_decay)) {}

  V operator()(V p, V g, int64_t i, int count) const {
    g = g + p * pull;
    const V m = load(exp_avg + i, count) * beta1 + g * rest1;
    V v = load(exp_avg_sq + i, count) * beta2 + g * g * rest2;
    store(exp_avg + i, m, count);
    store(exp_avg_sq + i, v, count);
    if (largest) {
      v = max(v, load(largest + i, count));
      store(largest + i, v, count);
    }
    return p * keep - rate * m / (sqrt(v) * root + eps);
  }

  C *exp_avg, *exp_avg_sq, *largest;
  V beta1, beta2, rest1, rest2, eps, root, rate, keep, pull;
};

}  // namespace

void adam_step(const AdamArgs& a) {
  update<AdamRule>(a);
}

}  // namespace pyllm::PYLLM_ISA
