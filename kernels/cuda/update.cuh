// The pass over many tensors that element-wise optimizers share, in as few launches as their table
// takes: load the parameter (its master copy if there is one) and the scaled gradient, apply the
// rule, store. A Rule has kStates moments, and
//
//   float operator()(float p, float g, float (&states)[kStates]) const
//
// gives the new parameter and updates its states; is_signed(s) says whether state s may be below 0.
// The tensors of a launch come by value in its
// parameters. A block takes kUpdateChunk elements of one tensor, found by its place in the running
// count of chunks; a thread takes four neighbours at a time. Where states are quantised
// (blockwise_codes.cuh), a warp takes the 256 elements that share a scale, and a thread eight of
// them.
#pragma once

#include "blockwise_codes.cuh"
#include "rows.cuh"

namespace pyllm::cuda {

constexpr int kUpdateThreads = 256, kUpdateWidth = 4, kUpdateChunk = 4096, kUpdateTensors = 32;

template <int kStates>
struct UpdateTensor {
  static constexpr int kSlots = kStates > 0 ? kStates : 1;
  void* param;
  const void* grad;
  float* master;         // or null
  void* states[kSlots];  // float32, or the codes of quantised states
  float* scales[kSlots];
  int64_t n;
};

template <class Rule>
struct Update {
  UpdateTensor<Rule::kStates> tensors[kUpdateTensors];
  int32_t first_chunk[kUpdateTensors + 1];
  int32_t aligned[kUpdateTensors];  // all of a tensor's pointers take accesses of four elements
  int32_t count;
  float grad_factor;
  const float* grad_scale;  // on the device, or null for 1
  Rule rule;
};

// The parameter and gradient of W elements from the i-th on.
template <class P, class G, int W>
struct UpdateElements {
  float p[W], g[W];

  template <class Tensor>
  PYLLM_DEVICE UpdateElements(const Tensor& t, int64_t i, float grad_scale) {
    load_row(g, static_cast<const G*>(t.grad) + i, 0);
    if (t.master != nullptr) {
      load_row(p, t.master + i, 0);
    } else {
      load_row(p, static_cast<const P*>(t.param) + i, 0);
    }
#pragma unroll
    for (int k = 0; k < W; ++k) g[k] *= grad_scale;
  }
  template <class Tensor>
  PYLLM_DEVICE void store(const Tensor& t, int64_t i) const {
    store_row(static_cast<P*>(t.param) + i, 0, p);
    if (t.master != nullptr) store_row(t.master + i, 0, p);
  }
};

template <class P, class G, class Rule, int W>
PYLLM_DEVICE void update_elements(const Rule& rule, const UpdateTensor<Rule::kStates>& t, int64_t i,
                                  float grad_scale) {
  constexpr int kSlots = UpdateTensor<Rule::kStates>::kSlots;
  UpdateElements<P, G, W> e(t, i, grad_scale);
  float states[kSlots][W];
#pragma unroll
  for (int s = 0; s < Rule::kStates; ++s) {
    load_row(states[s], static_cast<const float*>(t.states[s]) + i, 0);
  }
#pragma unroll
  for (int k = 0; k < W; ++k) {
    float mine[kSlots];
#pragma unroll
    for (int s = 0; s < Rule::kStates; ++s) mine[s] = states[s][k];
    e.p[k] = rule(e.p[k], e.g[k], mine);
#pragma unroll
    for (int s = 0; s < Rule::kStates; ++s) states[s][k] = mine[s];
  }
#pragma unroll
  for (int s = 0; s < Rule::kStates; ++s) {
    store_row(static_cast<float*>(t.states[s]) + i, 0, states[s]);
  }
  e.store(t, i);
}

// A warp's block of 256 elements from `start` on.
template <class P, class G, class Rule>
PYLLM_DEVICE void update_quantized(const Rule& rule, const UpdateTensor<Rule::kStates>& t,
                                   int64_t start, bool aligned, float grad_scale) {
  constexpr int kEach = kStateBlock / dev::kWarpSize;
  constexpr int kSlots = UpdateTensor<Rule::kStates>::kSlots;
  const int lane = threadIdx.x % dev::kWarpSize;
  const int64_t first = start + lane * kEach;
  const int64_t left = t.n - first;
  const int count = left >= kEach ? kEach : left > 0 ? static_cast<int>(left) : 0;
  const bool whole = aligned && count == kEach;
  float states[kSlots][kEach];
#pragma unroll
  for (int s = 0; s < Rule::kStates; ++s) {
    const StateCodes codes(static_cast<const uint8_t*>(t.states[s]) + first, count, whole);
    // One lane reads what it will write: the others' reads would not be ordered before that.
    const float mine = lane == 0 ? dev::ldg(t.scales[s] + start / kStateBlock) : 0.0f;
    const float scale = __shfl_sync(dev::kFullMask, mine, 0);
    codes.decode(states[s], scale, Rule::is_signed(s), count);
  }
  const auto apply = [&](auto& e, int from) {
#pragma unroll
    for (int k = 0; k < static_cast<int>(sizeof(e.p) / sizeof(float)); ++k) {
      float mine[kSlots];
#pragma unroll
      for (int s = 0; s < Rule::kStates; ++s) mine[s] = states[s][from + k];
      e.p[k] = rule(e.p[k], e.g[k], mine);
#pragma unroll
      for (int s = 0; s < Rule::kStates; ++s) states[s][from + k] = mine[s];
    }
    e.store(t, first + from);
  };
  if (whole) {
    UpdateElements<P, G, kEach> e(t, first, grad_scale);
    apply(e, 0);
  } else {
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      if (k >= count) break;
      UpdateElements<P, G, 1> e(t, first + k, grad_scale);
      apply(e, k);
    }
  }
#pragma unroll
  for (int s = 0; s < Rule::kStates; ++s) {
    StateCodes codes;
    const float scale = codes.encode(states[s], Rule::is_signed(s));
    codes.store(static_cast<uint8_t*>(t.states[s]) + first, count, whole);
    if (lane == 0) dev::stg(t.scales[s] + start / kStateBlock, scale);
  }
}

// Room for three blocks where states are quantised: with a thought for four the compiler spills.
template <class P, class G, class Rule, bool kQuantized>
__global__ void __launch_bounds__(kUpdateThreads, kQuantized ? 3 : 0) update_step(Update<Rule> a) {
  int which = 0;
  while (a.first_chunk[which + 1] <= static_cast<int>(blockIdx.x)) ++which;
  const auto& t = a.tensors[which];
  const int64_t begin = int64_t{static_cast<int>(blockIdx.x) - a.first_chunk[which]} * kUpdateChunk;
  const int64_t end = begin + kUpdateChunk < t.n ? begin + kUpdateChunk : t.n;
  const float grad_scale =
      a.grad_factor * (a.grad_scale != nullptr ? dev::ldg(a.grad_scale) : 1.0f);
  if constexpr (kQuantized) {
    const int64_t first = begin + threadIdx.x / dev::kWarpSize * kStateBlock;
    constexpr int kStep = kUpdateThreads / dev::kWarpSize * kStateBlock;
    for (int64_t start = first; start < end; start += kStep) {
      update_quantized<P, G>(a.rule, t, start, a.aligned[which] != 0, grad_scale);
    }
  } else {
    const int64_t whole =
        a.aligned[which] ? begin + (end - begin) / kUpdateWidth * kUpdateWidth : begin;
    for (int64_t i = begin + threadIdx.x * kUpdateWidth; i < whole;
         i += kUpdateThreads * kUpdateWidth) {
      update_elements<P, G, Rule, kUpdateWidth>(a.rule, t, i, grad_scale);
    }
    for (int64_t i = whole + threadIdx.x; i < end; i += kUpdateThreads) {
      update_elements<P, G, Rule, 1>(a.rule, t, i, grad_scale);
    }
  }
}

}  // namespace pyllm::cuda
