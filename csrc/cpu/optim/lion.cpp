// Lion (Chen et al. 2023, "Symbolic discovery of optimization algorithms", algorithm 2):
//
//   p = p (1 - lr weight_decay) - lr sign(beta1 m + (1 - beta1) g),   m = beta2 m + (1 - beta2) g
//
// with g = scale * grad; sign(0) = 0, NaN stays. float32 moves 20 bytes an element.
#include "cpu/optim/lion.h"

#include "cpu/optim/update.h"

namespace pyllm::PYLLM_ISA {
namespace {

template <class C>
struct LionRule {
  using V = Vec<C>;

  explicit LionRule(const LionArgs& a)
      : exp_avg(a.exp_avg.as<C>()),
        beta1(C(a.beta1)),
        beta2(C(a.beta2)),
        rest1(C(1 - a.beta1)),
        rest2(C(1 - a.beta2)),
        rate(C(a.lr)),
        keep(C(1 - a.lr * a.weight_decay)) {}

  V operator()(V p, V g, int64_t i, int count) const {
    const V m = load(exp_avg + i, count);
    store(exp_avg + i, m * beta2 + g * rest2, count);
    const V zero = C(0), mixed = m * beta1 + g * rest1;
    const V step = select(mixed > zero, rate, select(mixed < zero, -rate, mixed));
    return p * keep - step;
  }

  C* exp_avg;
  V beta1, beta2, rest1, rest2, rate, keep;
};

}  // namespace

void lion_step(const LionArgs& a) {
  update<LionRule>(a);
}

}  // namespace pyllm::PYLLM_ISA
