// Stochastic gradient descent with momentum (Sutskever et al. 2013, as torch writes it):
//
//   g = scale * grad + weight_decay * p
//   b = momentum b + (1 - dampening) g      (first step: b = g)
//   p = p - lr b                            (Nesterov: p - lr (g + momentum b); plain: p - lr g)
//
// float32 moves 20 bytes an element with momentum, 12 without.
#include "cpu/optim/sgd.h"

#include "cpu/optim/update.h"

namespace pyllm::PYLLM_ISA {
namespace {

template <class C>
struct SgdRule {
  using V = Vec<C>;

  explicit SgdRule(const SgdArgs& a)
      : buffer(a.momentum_buffer.as<C>()),
        momentum(C(a.first ? 0 : a.momentum)),
        fresh(C(a.first ? 1 : 1 - a.dampening)),
        // What the step is made of: g and b.
        of_gradient(C(a.momentum_buffer.is_absent() || a.nesterov ? a.lr : 0)),
        of_buffer(C(a.nesterov ? a.lr * a.momentum : a.lr)),
        pull(C(a.weight_decay)) {}

  V operator()(V p, V g, int64_t i, int count) const {
    g = g + p * pull;
    if (!buffer) return p - of_gradient * g;
    const V b = load(buffer + i, count) * momentum + g * fresh;
    store(buffer + i, b, count);
    return p - (of_gradient * g + of_buffer * b);
  }

  C* buffer;
  V momentum, fresh, of_gradient, of_buffer, pull;
};

}  // namespace

void sgd_step(const SgdArgs& a) {
  update<SgdRule>(a);
}

}  // namespace pyllm::PYLLM_ISA
