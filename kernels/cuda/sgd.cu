// Launcher of gradient descent.
#include "sgd.cuh"
#include "update_launch.cuh"

namespace pyllm::cuda {
namespace {

cudaError_t plain(const SgdStep& a, cudaStream_t stream) {
  const SgdRule rule{static_cast<float>(a.lr), static_cast<float>(a.weight_decay)};
  const auto describe = [](const SgdTensor& t) -> UpdateTensor<0> {
    return {t.param, t.grad, t.master, {nullptr}, {nullptr}, t.n};
  };
  return launch_update(a, rule, describe, stream);
}

cudaError_t with_momentum(const SgdStep& a, cudaStream_t stream) {
  const MomentumRule rule{static_cast<float>(a.weight_decay),
                          static_cast<float>(a.momentum),
                          static_cast<float>(1.0 - a.dampening),
                          static_cast<float>(a.nesterov ? a.lr : 0.0),
                          static_cast<float>(a.nesterov ? a.lr * a.momentum : a.lr),
                          a.first};
  const auto describe = [](const SgdTensor& t) -> UpdateTensor<1> {
    return {t.param, t.grad, t.master, {t.momentum_buffer}, {t.momentum_buffer_scale}, t.n};
  };
  return launch_update(a, rule, describe, stream);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_sgd_step(const SgdStep* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  const SgdStep& a = *args;
  if (a.count < 0) return cudaErrorInvalidValue;
  const bool buffers = a.count > 0 && a.tensors[0].momentum_buffer != nullptr;
  for (int64_t i = 1; i < a.count; ++i) {
    if ((a.tensors[i].momentum_buffer != nullptr) != buffers) return cudaErrorInvalidValue;
  }
  if (a.count > 0 && !buffers && (a.momentum != 0 || a.nesterov)) return cudaErrorInvalidValue;
  return buffers ? with_momentum(a, stream) : plain(a, stream);
}
