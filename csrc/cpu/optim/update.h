// The pass over flat parameter buffers that element-wise optimizers share: load the parameter (its
// master copy if there is one) and the scaled gradient, apply the rule, store. The elements are
// independent, so threads may cut the buffers anywhere.
//
// Rule<C>(args) is the update in the compute type C;
//   Vec<C> operator()(Vec<C> p, Vec<C> g, int64_t i, int count) const
// gives the new values of the `count` parameters from the i-th on and updates their states.
#pragma once

#include <algorithm>

#include "core/parallel.h"
#include "cpu/optim/parameters.h"
#include "cpu/optim/storage.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

constexpr int64_t kUpdateGrain = 16384;

// P: storage of the parameter, G of the gradient.
template <class P, class G, class Rule>
void update_elements(const Parameters& a, const Rule& rule) {
  using C = compute_t<P>;
  using V = Vec<C>;
  const int64_t n = a.param.size();
  P* params = a.param.as<P>();
  C* master = a.master ? a.master->as<C>() : nullptr;
  const G* grads = a.grad.as<G>();
  const V scale = C(a.grad_scale);
  const int64_t vectors = (n + V::lanes - 1) / V::lanes;
  parallel_for(vectors, kUpdateGrain / V::lanes, [&](int64_t first, int64_t last) {
    const int64_t end = std::min(last * V::lanes, n);
    for (int64_t i = first * V::lanes; i < end; i += V::lanes) {
      const int count = lanes_left<C>(end - i);
      V p = master ? load(master + i, count) : load(params + i, count);
      p = rule(p, load(grads + i, count) * scale, i, count);
      if (master) store(master + i, p, count);
      store(params + i, p, count);
    }
  });
}

template <template <class> class Rule, class Args>
void update(const Args& a) {
  with_storage(a, [&](auto param, auto grad) {
    using P = typename decltype(param)::type;
    update_elements<P, typename decltype(grad)::type>(a, Rule<compute_t<P>>(a));
  });
}

}  // namespace pyllm::PYLLM_ISA
