// Dropout: a thread takes the four neighbours whose words one Philox block gives, in one access
// where pointers allow it. Reads and writes each element once.
#pragma once

#include "dropout.h"
#include "philox.cuh"

namespace pyllm::cuda {

constexpr int kDropoutThreads = 256, kDropoutWidth = 4;

template <class T, bool kVector>
__global__ void __launch_bounds__(kDropoutThreads) dropout(Dropout a) {
  const int64_t block = int64_t{blockIdx.x} * kDropoutThreads + threadIdx.x;
  const int64_t first = block * kDropoutWidth;
  if (first >= a.n) return;
  const T* x = static_cast<const T*>(a.x) + first;
  T* y = static_cast<T*>(a.y) + first;
  const PhiloxWords words = philox(a.seed, a.stream, static_cast<uint64_t>(block));
  const T* residual = a.residual != nullptr ? static_cast<const T*>(a.residual) + first : nullptr;
  const auto drop = [&](T value, T more, int k) {
    const bool dropped = words.v[k] < static_cast<uint32_t>(a.threshold);
    const float kept = dropped ? 0.0f : dev::to_float(value) * a.scale;
    return dev::from_float<T>(residual != nullptr ? kept + dev::to_float(more) : kept);
  };
  if (kVector && first + kDropoutWidth <= a.n) {
    using Four = dev::Vec<T, kDropoutWidth>;
    Four v = dev::ldg(reinterpret_cast<const Four*>(x)), more = v;
    if (residual != nullptr) more = dev::ldg(reinterpret_cast<const Four*>(residual));
    for (int k = 0; k < kDropoutWidth; ++k) v.v[k] = drop(v.v[k], more.v[k], k);
    dev::stg(reinterpret_cast<Four*>(y), v);
  } else {
    for (int k = 0; k < kDropoutWidth && first + k < a.n; ++k) {
      const T value = dev::ldg(x + k);
      dev::stg(y + k, drop(value, residual != nullptr ? dev::ldg(residual + k) : value, k));
    }
  }
}

}  // namespace pyllm::cuda
