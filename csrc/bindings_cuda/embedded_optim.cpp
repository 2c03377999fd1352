// Optimizer steps by the embedded Triton kernels: one launch a tensor.
#include <algorithm>
#include <cmath>

#include "bindings_cuda/embedded.h"

namespace pyllm::bind_cuda::embedded {
namespace {

// What the Triton steps have no kernel for: 8-bit states, a gradient scale on the device.
template <class Step>
bool plain(const Step& step) {
  return !step.quantized && step.grad_scale == nullptr;
}

template <class Step, class Tensor>
void set_parameter(Arguments& a, const Step& step, const Tensor& tensor) {
  a.pointer("param", tensor.param, element(step.param_dtype));
  a.pointer("grad", tensor.grad, element(step.grad_dtype));
  a.pointer("master", tensor.master, "fp32");
  a.integer("MASTER", tensor.master != nullptr);
  a.integer("n", tensor.n).number("grad_scale", step.grad_factor);
}

// All tensors by Triton or none: where one does not suit, nothing has been queued.
template <class Step, class SetRest>
bool queue(const char* function, const Step& step, cudaStream_t stream, SetRest&& set_rest) {
  if (!plain(step)) return false;
  std::vector<Arguments> arguments(static_cast<size_t>(step.count));
  std::vector<Launch> launches;
  for (int64_t i = 0; i < step.count; ++i) {
    Arguments& a = arguments[static_cast<size_t>(i)];
    set_parameter(a, step, step.tensors[i]);
    set_rest(a, step.tensors[i]);
    if (!launches.emplace_back(function, a)) return false;
  }
  for (int64_t i = 0; i < step.count; ++i) {
    const Launch& launch = launches[static_cast<size_t>(i)];
    const int64_t n = step.tensors[i].n;
    if (n > 0) launch(blocks(n, launch.constant("ELEMENTS")), stream);
  }
  return true;
}

}  // namespace

bool adamw_step(const AdamWStep& step, cudaStream_t stream) {
  const auto t = static_cast<double>(step.step);
  return queue("adam_kernel", step, stream, [&](Arguments& a, const AdamWTensor& tensor) {
    a.pointer("exp_avg", tensor.exp_avg, "fp32").pointer("exp_avg_sq", tensor.exp_avg_sq, "fp32");
    a.pointer("largest", tensor.max_exp_avg_sq, "fp32");
    a.integer("LARGEST", tensor.max_exp_avg_sq != nullptr);
    a.number("rate", step.lr / (1 - std::pow(step.beta1, t)));
    a.number("root", 1 / std::sqrt(1 - std::pow(step.beta2, t)));
    a.number("beta1", step.beta1).number("rest1", 1 - step.beta1);
    a.number("beta2", step.beta2).number("rest2", 1 - step.beta2);
    a.number("eps", step.eps);
    a.number("keep", step.decoupled ? 1 - step.lr * step.weight_decay : 1);
    a.number("pull", step.decoupled ? 0 : step.weight_decay);
  });
}

bool sgd_step(const SgdStep& step, cudaStream_t stream) {
  return queue("sgd_kernel", step, stream, [&](Arguments& a, const SgdTensor& tensor) {
    const bool buffer = tensor.momentum_buffer != nullptr;
    a.pointer("buffer", tensor.momentum_buffer, "fp32").integer("BUFFER", buffer);
    a.integer("FIRST", step.first != 0).integer("NESTEROV", step.nesterov != 0);
    a.number("lr", step.lr).number("momentum", step.momentum);
    a.number("rest", 1 - step.dampening).number("pull", step.weight_decay);
  });
}

bool lion_step(const LionStep& step, cudaStream_t stream) {
  return queue("lion_kernel", step, stream, [&](Arguments& a, const LionTensor& tensor) {
    a.pointer("exp_avg", tensor.exp_avg, "fp32").number("lr", step.lr);
    a.number("beta1", step.beta1).number("rest1", 1 - step.beta1);
    a.number("beta2", step.beta2).number("rest2", 1 - step.beta2);
    a.number("keep", 1 - step.lr * step.weight_decay);
  });
}

}  // namespace pyllm::bind_cuda::embedded
