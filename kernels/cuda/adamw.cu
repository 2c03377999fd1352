// Launcher of AdamW: fills tables of tensors and launches each when it is full.
#include <cmath>

#include "adamw.cuh"
#include "launch.cuh"

namespace pyllm::cuda {
namespace {

AdamWBatch empty_batch(const AdamWStep& a) {
  AdamWBatch batch{};
  const double correction1 = 1.0 - std::pow(a.beta1, static_cast<double>(a.step));
  const double correction2 = 1.0 - std::pow(a.beta2, static_cast<double>(a.step));
  batch.grad_scale = a.grad_scale;
  batch.step_size = static_cast<float>(a.lr / correction1);
  batch.root_correction = static_cast<float>(1.0 / std::sqrt(correction2));
  batch.beta1 = static_cast<float>(a.beta1);
  batch.beta2 = static_cast<float>(a.beta2);
  batch.eps = static_cast<float>(a.eps);
  batch.keep = static_cast<float>(a.decoupled ? 1.0 - a.lr * a.weight_decay : 1.0);
  batch.l2 = static_cast<float>(a.decoupled ? 0.0 : a.weight_decay);
  return batch;
}

bool takes_wide_accesses(const AdamWTensor& t) {
  constexpr uintptr_t kBytes = sizeof(float) * kAdamWWidth;
  const uintptr_t addresses =
      reinterpret_cast<uintptr_t>(t.param) | reinterpret_cast<uintptr_t>(t.grad) |
      reinterpret_cast<uintptr_t>(t.exp_avg) | reinterpret_cast<uintptr_t>(t.exp_avg_sq) |
      reinterpret_cast<uintptr_t>(t.master);
  return addresses % kBytes == 0;
}

template <class P, class G>
cudaError_t flush(AdamWBatch& batch, cudaStream_t stream) {
  if (batch.count == 0) return cudaSuccess;
  const dim3 grid(static_cast<unsigned>(batch.first_chunk[batch.count]));
  batch.count = 0;
  return PYLLM_LAUNCH((adamw_step<P, G>), grid, dim3(kAdamWThreads), 0, stream, batch);
}

template <class P, class G>
cudaError_t step(const AdamWStep& a, cudaStream_t stream) {
  AdamWBatch batch = empty_batch(a);
  for (int64_t i = 0; i < a.count; ++i) {
    const AdamWTensor& t = a.tensors[i];
    if (t.n == 0) continue;
    const int64_t chunks = (t.n + kAdamWChunk - 1) / kAdamWChunk;
    if (t.n < 0 || chunks > kMaxGridX) return cudaErrorInvalidValue;
    if (batch.count == kAdamWTensors || batch.first_chunk[batch.count] + chunks > kMaxGridX) {
      if (const cudaError_t error = flush<P, G>(batch, stream); error != cudaSuccess) return error;
    }
    batch.tensors[batch.count] = t;
    batch.aligned[batch.count] = takes_wide_accesses(t);
    batch.first_chunk[batch.count + 1] =
        batch.first_chunk[batch.count] + static_cast<int32_t>(chunks);
    ++batch.count;
  }
  return flush<P, G>(batch, stream);
}

}  // namespace
}  // namespace pyllm::cuda

// Gradients are of the parameters' type, or float32.
extern "C" cudaError_t pyllm_cuda_adamw_step(const AdamWStep* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  const AdamWStep& a = *args;
  if (a.count < 0 || a.step < 1 || (a.grad_dtype != a.param_dtype && a.grad_dtype != kFloat32)) {
    return cudaErrorInvalidValue;
  }
  return with_type(a.param_dtype, [&](auto sample) -> cudaError_t {
    using P = decltype(sample);
    return a.grad_dtype == kFloat32 ? step<P, float>(a, stream) : step<P, P>(a, stream);
  });
}
