// Launcher of Lion.
#include "lion.cuh"
#include "update_launch.cuh"

extern "C" cudaError_t pyllm_cuda_lion_step(const LionStep* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  const LionStep& a = *args;
  if (a.count < 0) return cudaErrorInvalidValue;
  const LionRule rule{
      static_cast<float>(a.beta1),       static_cast<float>(a.beta2),
      static_cast<float>(1.0 - a.beta1), static_cast<float>(1.0 - a.beta2),
      static_cast<float>(a.lr),          static_cast<float>(1.0 - a.lr * a.weight_decay)};
  const auto describe = [](const LionTensor& t) -> UpdateTensor<1> {
    return {t.param, t.grad, t.master, {t.exp_avg}, {t.exp_avg_scale}, t.n};
  };
  return launch_update(a, rule, describe, stream);
}
