// The pass over flat parameter buffers that element-wise optimizers share: load the parameter (its
// master copy if there is one) and the scaled gradient, apply the rule, store. The elements are
// independent, so threads may cut the buffers anywhere.
//
// Rule<C>(args) is the update in the compute type C;
//   Vec<C> operator()(Vec<C> p, Vec<C> g, int64_t i, int count) const
// gives the new values of the `count` parameters from the i-th on and updates their states, where
// args.each_state(f) calls f(State&) for each. Quantised states are widened a block at a time.
#pragma once

#include <algorithm>
#include <type_traits>

#include "core/parallel.h"
#include "cpu/optim/blockwise.h"
#include "cpu/optim/parameters.h"
#include "cpu/optim/storage.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

constexpr int64_t kUpdateGrain = 16384;

// P: storage of the parameter, G of the gradient. The rule numbers its states from `origin` on;
// beside(i - origin) is called with each vector.
template <class P, class G, class Rule, class F>
void update_range(const Parameters& a, const Rule& rule, int64_t start, int64_t end, int64_t origin,
                  F&& beside) {
  using C = compute_t<P>;
  using V = Vec<C>;
  P* params = a.param.as<P>();
  C* master = a.master ? a.master->as<C>() : nullptr;
  const G* grads = a.grad.as<G>();
  const V scale = C(a.grad_scale);
  const auto step = [&](int64_t i, int count) {
    V p = master ? load(master + i, count) : load(params + i, count);
    p = rule(p, load(grads + i, count) * scale, i - origin, count);
    if (master) store(master + i, p, count);
    store(params + i, p, count);
    beside(i - origin);
  };
  int64_t i = start;
  for (; i + V::lanes <= end; i += V::lanes) step(i, V::lanes);
  if (i < end) step(i, static_cast<int>(end - i));
}

template <class P, class G, class Rule>
void update_elements(const Parameters& a, const Rule& rule) {
  constexpr int64_t lanes = Vec<compute_t<P>>::lanes;
  const int64_t n = a.param.size();
  parallel_for((n + lanes - 1) / lanes, kUpdateGrain / lanes, [&](int64_t first, int64_t last) {
    update_range<P, G>(a, rule, first * lanes, std::min(last * lanes, n), 0, [](int64_t) {});
  });
}

constexpr int kMaxStates = 3;

// The states of one block, widened: decode, let the rule run on them, encode. The rule waits for
// its divisions and roots, so each block is encoded beside the rule's run on the next one.
template <class P, class G, template <class> class Rule, class Args>
void update_blocks(const Args& a) {
  constexpr int64_t lanes = Vec<float>::lanes;
  const int64_t n = a.param.size();
  parallel_for((n + kBlock - 1) / kBlock, kUpdateGrain / kBlock, [&](int64_t first, int64_t last) {
    alignas(64) float values[2][kMaxStates][kBlock];
    State quantized[kMaxStates];
    int states = 0;
    const auto rule_on = [&](float (&buffers)[kMaxStates][kBlock]) {
      Args wide = a;
      states = 0;
      wide.each_state([&](State& state) {
        quantized[states] = state;
        state.data = buffers[states++];
        state.dtype = DType::f32;
      });
      return Rule<float>(wide);
    };
    const Rule<float> rules[2] = {rule_on(values[0]), rule_on(values[1])};
    BlockEncoder before[kMaxStates];
    const auto encode_before = [&](int64_t i) {
      for (int s = 0; s < states; ++s) before[s].vector(i);
    };
    for (int64_t block = first; block < last; ++block) {
      const int64_t start = block * kBlock, count = std::min(kBlock, n - start);
      const int turn = block % 2;
      for (int s = 0; s < states; ++s) {
        const State& state = quantized[s];
        decode_block(state.as<uint8_t>() + start, count, state.scale.as<float>()[block],
                     state.is_signed, values[turn][s]);
      }
      update_range<P, G>(a, rules[turn], start, start + count, start, encode_before);
      for (int64_t i = (count + lanes - 1) / lanes * lanes; i < kBlock; i += lanes) {
        encode_before(i);
      }
      for (int s = 0; s < states; ++s) {
        const State& state = quantized[s];
        uint8_t* bytes = state.as<uint8_t>() + start;
        const float scale = block_scale(values[turn][s], state.is_signed);
        state.scale.as<float>()[block] = scale;
        before[s] = {};
        if (count == kBlock) {
          before[s] = BlockEncoder(values[turn][s], scale, state.is_signed, bytes);
        } else {
          encode_block(values[turn][s], scale, state.is_signed, bytes, count);
        }
      }
    }
    for (int s = 0; s < states; ++s) before[s].all();
  });
}

template <template <class> class Rule, class Args>
void update(Args a) {
  bool quantized = false;
  a.each_state([&](const State& state) { quantized = state.is_quantized(); });
  with_storage(a, [&](auto param, auto grad) {
    using P = typename decltype(param)::type;
    using G = typename decltype(grad)::type;
    if constexpr (std::is_same_v<compute_t<P>, float>) {
      if (quantized) return update_blocks<P, G, Rule>(a);
    }
    update_elements<P, G>(a, Rule<compute_t<P>>(a));
  });
}

}  // namespace pyllm::PYLLM_ISA
