// Adam (Kingma and Ba, 2015) with decoupled weight decay (Loshchilov and Hutter, 2019):
//
//   m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,  g = grad * grad_scale
//   p = p (1 - lr decay) - lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
//
// The tensors of a launch come by value in its parameters. A block takes kAdamWChunk elements of
// one tensor, found by its place in the running count of chunks; a thread takes four neighbours at
// a time. For float32 that moves 28 bytes a parameter: p, g, m, v read; p, m, v written.
#pragma once

#include "adamw.h"
#include "device.cuh"

namespace pyllm::cuda {

constexpr int kAdamWThreads = 256, kAdamWWidth = 4, kAdamWChunk = 4096, kAdamWTensors = 32;

struct AdamWBatch {
  AdamWTensor tensors[kAdamWTensors];
  int32_t first_chunk[kAdamWTensors + 1];
  int32_t aligned[kAdamWTensors];  // all of a tensor's pointers take accesses of four elements
  int32_t count;
  const float* grad_scale;
  float step_size, root_correction, beta1, beta2, eps, keep, l2;
};

struct AdamWElement {
  float p, g, m, v;
  PYLLM_DEVICE void step(const AdamWBatch& a, float grad_scale) {
    g = g * grad_scale + a.l2 * p;
    m = a.beta1 * m + (1.0f - a.beta1) * g;
    v = a.beta2 * v + (1.0f - a.beta2) * g * g;
    p = a.keep * p - a.step_size * m / (dev::sqrt(v) * a.root_correction + a.eps);
  }
};

// Elements i to i + W of one tensor.
template <class P, class G, int W>
PYLLM_DEVICE void adamw_elements(const AdamWBatch& a, const AdamWTensor& t, int64_t i,
                                 float grad_scale) {
  using Floats = dev::Vec<float, W>;
  auto* params = reinterpret_cast<dev::Vec<P, W>*>(static_cast<P*>(t.param) + i);
  auto* master = reinterpret_cast<Floats*>(t.master + i);
  auto* exp_avg = reinterpret_cast<Floats*>(t.exp_avg + i);
  auto* exp_avg_sq = reinterpret_cast<Floats*>(t.exp_avg_sq + i);
  const auto g =
      dev::ldg(reinterpret_cast<const dev::Vec<G, W>*>(static_cast<const G*>(t.grad) + i));
  Floats m = dev::ldg(exp_avg), v = dev::ldg(exp_avg_sq), p;
  dev::Vec<P, W> rounded;
  if (t.master != nullptr) {
    p = dev::ldg(master);
  } else {
    rounded = dev::ldg(params);
    for (int k = 0; k < W; ++k) p.v[k] = dev::to_float(rounded.v[k]);
  }
  for (int k = 0; k < W; ++k) {
    AdamWElement e{p.v[k], dev::to_float(g.v[k]), m.v[k], v.v[k]};
    e.step(a, grad_scale);
    p.v[k] = e.p;
    m.v[k] = e.m;
    v.v[k] = e.v;
    rounded.v[k] = dev::from_float<P>(e.p);
  }
  dev::stg(params, rounded);
  dev::stg(exp_avg, m);
  dev::stg(exp_avg_sq, v);
  if (t.master != nullptr) dev::stg(master, p);
}

template <class P, class G>
__global__ void __launch_bounds__(kAdamWThreads) adamw_step(AdamWBatch a) {
  int which = 0;
  while (a.first_chunk[which + 1] <= static_cast<int>(blockIdx.x)) ++which;
  const AdamWTensor& t = a.tensors[which];
  const int64_t begin = int64_t{static_cast<int>(blockIdx.x) - a.first_chunk[which]} * kAdamWChunk;
  const int64_t end = begin + kAdamWChunk < t.n ? begin + kAdamWChunk : t.n;
  const float grad_scale = a.grad_scale != nullptr ? dev::ldg(a.grad_scale) : 1.0f;
  const int64_t whole =
      a.aligned[which] ? begin + (end - begin) / kAdamWWidth * kAdamWWidth : begin;
  for (int64_t i = begin + threadIdx.x * kAdamWWidth; i < whole; i += kAdamWThreads * kAdamWWidth) {
    adamw_elements<P, G, kAdamWWidth>(a, t, i, grad_scale);
  }
  for (int64_t i = whole + threadIdx.x; i < end; i += kAdamWThreads) {
    adamw_elements<P, G, 1>(a, t, i, grad_scale);
  }
}

}  // namespace pyllm::cuda
