// Gated linear units (Shazeer, 2020): swiglu with silu, geglu with gelu.
//
//   forward   y = act(g) u,  g = gate + gate_bias,  u = up + up_bias
//   backward  dgate = dy u act'(g),  dup = dy act(g)
//
// Work is split as in activation.cuh; the sums of dgate are the first half of `partial`.
#pragma once

#include "activation.cuh"

namespace pyllm::cuda {

template <class T, int W>
__global__ void __launch_bounds__(kActivationThreads) glu_forward(GluForward a) {
  const int64_t i = int64_t{blockIdx.x} * kActivationThreads + threadIdx.x;
  if (i >= a.n / W) return;
  float gate_bias[W], up_bias[W], gate[W], up[W];
  load_bias<T, W>(gate_bias, a.gate_bias, i);
  load_bias<T, W>(up_bias, a.up_bias, i);
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    load_row<T, W>(gate, static_cast<const T*>(a.gate) + row * a.gate_row_stride, i);
    load_row<T, W>(up, static_cast<const T*>(a.up) + row * a.up_row_stride, i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      gate[k] = Activated(gate[k] + gate_bias[k], a.kind).value * (up[k] + up_bias[k]);
    }
    store_row<T, W>(static_cast<T*>(a.y) + row * a.y_row_stride, i, gate);
  }
}

template <class T, int W>
__global__ void __launch_bounds__(kActivationThreads) glu_backward(GluBackward a) {
  const int64_t i = int64_t{blockIdx.x} * kActivationThreads + threadIdx.x;
  if (i >= a.n / W) return;
  float gate_bias[W], up_bias[W], gate[W], up[W], dy[W], gate_sum[W] = {}, up_sum[W] = {};
  load_bias<T, W>(gate_bias, a.gate_bias, i);
  load_bias<T, W>(up_bias, a.up_bias, i);
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    load_row<T, W>(gate, static_cast<const T*>(a.gate) + row * a.gate_row_stride, i);
    load_row<T, W>(up, static_cast<const T*>(a.up) + row * a.up_row_stride, i);
    load_row<T, W>(dy, static_cast<const T*>(a.dy) + row * a.dy_row_stride, i);
#pragma unroll
    for (int k = 0; k < W; ++k) {
      const Activated act(gate[k] + gate_bias[k], a.kind);
      gate[k] = dy[k] * (up[k] + up_bias[k]) * act.slope;
      up[k] = dy[k] * act.value;
      gate_sum[k] += gate[k];
      up_sum[k] += up[k];
    }
    store_row<T, W>(static_cast<T*>(a.dgate) + row * a.dgate_row_stride, i, gate);
    store_row<T, W>(static_cast<T*>(a.dup) + row * a.dup_row_stride, i, up);
  }
  float* mine = a.partial + blockIdx.y * a.n;
  if (a.dgate_bias != nullptr) store_row<float, W>(mine, i, gate_sum);
  if (a.dup_bias != nullptr) store_row<float, W>(mine + a.partial_rows * a.n, i, up_sum);
}

}  // namespace pyllm::cuda
