// Launcher of AdamW.
#include <cmath>

#include "adamw.cuh"
#include "update_launch.cuh"

namespace pyllm::cuda {
namespace {

template <bool kLargest>
AdamWRule<kLargest> rule_of(const AdamWStep& a) {
  const double correction1 = 1.0 - std::pow(a.beta1, static_cast<double>(a.step));
  const double correction2 = 1.0 - std::pow(a.beta2, static_cast<double>(a.step));
  AdamWRule<kLargest> rule;
  rule.step_size = static_cast<float>(a.lr / correction1);
  rule.root_correction = static_cast<float>(1.0 / std::sqrt(correction2));
  rule.beta1 = static_cast<float>(a.beta1);
  rule.beta2 = static_cast<float>(a.beta2);
  rule.rest1 = static_cast<float>(1.0 - a.beta1);
  rule.rest2 = static_cast<float>(1.0 - a.beta2);
  rule.eps = static_cast<float>(a.eps);
  rule.keep = static_cast<float>(a.decoupled ? 1.0 - a.lr * a.weight_decay : 1.0);
  rule.l2 = static_cast<float>(a.decoupled ? 0.0 : a.weight_decay);
  return rule;
}

UpdateTensor<2> moments_of(const AdamWTensor& t) {
  return {
      t.param, t.grad, t.master, {t.exp_avg, t.exp_avg_sq}, {t.exp_avg_scale, t.exp_avg_sq_scale},
      t.n};
}
UpdateTensor<3> moments_and_largest_of(const AdamWTensor& t) {
  return {t.param,
          t.grad,
          t.master,
          {t.exp_avg, t.exp_avg_sq, t.max_exp_avg_sq},
          {t.exp_avg_scale, t.exp_avg_sq_scale, t.max_exp_avg_sq_scale},
          t.n};
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_adamw_step(const AdamWStep* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  const AdamWStep& a = *args;
  if (a.count < 0 || a.step < 1) return cudaErrorInvalidValue;
  const bool largest = a.count > 0 && a.tensors[0].max_exp_avg_sq != nullptr;
  for (int64_t i = 1; i < a.count; ++i) {
    if ((a.tensors[i].max_exp_avg_sq != nullptr) != largest) return cudaErrorInvalidValue;
  }
  return largest ? launch_update(a, rule_of<true>(a), moments_and_largest_of, stream)
                 : launch_update(a, rule_of<false>(a), moments_of, stream);
}
