// The global gradient norm in two stages: a block sums the squares of a part of one tensor, in
// float32 over the elements of a thread and in float64 across threads; one block sums the parts.
// Each gradient is read once. Which block takes which part is fixed, so results are the same from
// run to run.
#pragma once

#include "dtype.h"
#include "gradient_norm.h"
#include "rows.cuh"

namespace pyllm::cuda {

constexpr int kNormPartThreads = 512, kNormPart = 65536, kNormTensors = 128;

struct GradientParts {
  GradientTensor tensors[kNormTensors];
  int32_t first_part[kNormTensors + 1];
  int32_t count;
  double* partial;
};

template <class T>
PYLLM_DEVICE double sum_of_squares(const T* x, int64_t n) {
  float sum = 0.0f;
  for_row<T, dev::kVecWidth<T>, kNormPartThreads>(x, n, threadIdx.x, [&](auto width, int64_t i) {
    float v[decltype(width)::value];
    load_row(v, x + i, 0);
#pragma unroll
    for (const float value : v) sum += value * value;
  });
  return sum;
}

template <int kThreads>
__global__ void __launch_bounds__(kThreads) gradient_parts(GradientParts a) {
  PYLLM_SHARED(double, scratch, kThreads / dev::kWarpSize);
  int which = 0;
  while (a.first_part[which + 1] <= static_cast<int>(blockIdx.x)) ++which;
  const GradientTensor& t = a.tensors[which];
  const int64_t begin = int64_t{static_cast<int>(blockIdx.x) - a.first_part[which]} * kNormPart;
  const int64_t n = t.n - begin < kNormPart ? t.n - begin : kNormPart;
  double sum;
  if (t.dtype == kFloat32) {
    sum = sum_of_squares(static_cast<const float*>(t.grad) + begin, n);
  } else if (t.dtype == kFloat16) {
    sum = sum_of_squares(static_cast<const dev::half_t*>(t.grad) + begin, n);
  } else {
    sum = sum_of_squares(static_cast<const dev::bf16_t*>(t.grad) + begin, n);
  }
  sum = dev::block_reduce<dev::Sum, kThreads>(sum, scratch);
  if (threadIdx.x == 0) dev::stg(a.partial + blockIdx.x, sum);
}

struct GradientTotal {
  const double* partial;
  float* norm;
  float* scale;
  int64_t parts;
  double max_norm;
  double* sum_of_squares;
};

template <int kThreads>
__global__ void __launch_bounds__(kThreads) gradient_total(GradientTotal a) {
  PYLLM_SHARED(double, scratch, kThreads / dev::kWarpSize);
  double sum = 0.0;
#pragma unroll 4
  for (int64_t i = threadIdx.x; i < a.parts; i += kThreads) sum += dev::ldg(a.partial + i);
  sum = dev::block_reduce<dev::Sum, kThreads>(sum, scratch);
  if (threadIdx.x > 0) return;
  const double norm = dev::sqrt(sum);
  dev::stg(a.norm, static_cast<float>(norm));
  if (a.sum_of_squares != nullptr) dev::stg(a.sum_of_squares, sum);
  // A norm that is no number clips nothing; the update shows it.
  const double scale = norm > a.max_norm ? a.max_norm / (norm + 1e-6) : 1.0;
  if (a.scale != nullptr) dev::stg(a.scale, static_cast<float>(scale));
}

}  // namespace pyllm::cuda
