// Optimizer steps, in place, and the sum of squares that clipping takes.
#include <vector>

#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/optim_buffers.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {
namespace {

void adam(py::handle param, py::handle grad, py::handle exp_avg, py::handle exp_avg_sq, double lr,
          double beta1, double beta2, double eps, double weight_decay, int64_t step,
          py::handle max_exp_avg_sq, double grad_scale, py::handle master, bool decoupled) {
  Call call(param, "param");
  OptimizerBuffers buffers(call, param, grad, master);
  const OptimizerState first = buffers.state(exp_avg, "exp_avg");
  const OptimizerState second = buffers.state(exp_avg_sq, "exp_avg_sq");
  const OptimizerState largest = buffers.optional_state(max_exp_avg_sq, "max_exp_avg_sq");
  require_fraction(beta1, "beta1"), require_fraction(beta2, "beta2");
  if (step < 1) bind::fail_value("step", "counted from 1, got " + std::to_string(step));
  AdamWTensor tensor{};
  AdamWStep args{};
  buffers.fill(tensor, args, grad_scale);
  tensor.exp_avg = first.values, tensor.exp_avg_scale = first.scale;
  tensor.exp_avg_sq = second.values, tensor.exp_avg_sq_scale = second.scale;
  tensor.max_exp_avg_sq = largest.values, tensor.max_exp_avg_sq_scale = largest.scale;
  args.lr = lr, args.beta1 = beta1, args.beta2 = beta2, args.eps = eps;
  args.weight_decay = weight_decay, args.step = step, args.decoupled = decoupled;
  embedded::launch(call, &embedded::adamw_step, &pyllm_cuda_adamw_step, args);
  call.finish();
}

void sgd(py::handle param, py::handle grad, py::handle momentum_buffer, double lr, double momentum,
         double dampening, double weight_decay, bool nesterov, bool first, double grad_scale,
         py::handle master) {
  Call call(param, "param");
  OptimizerBuffers buffers(call, param, grad, master);
  const OptimizerState buffer = buffers.optional_state(momentum_buffer, "momentum_buffer");
  if (momentum_buffer.is_none() && (momentum != 0 || nesterov)) {
    bind::fail_value("momentum_buffer", "momentum and Nesterov's step need one");
  }
  SgdTensor tensor{};
  SgdStep args{};
  buffers.fill(tensor, args, grad_scale);
  tensor.momentum_buffer = buffer.values, tensor.momentum_buffer_scale = buffer.scale;
  args.lr = lr, args.momentum = momentum, args.dampening = dampening;
  args.weight_decay = weight_decay, args.nesterov = nesterov, args.first = first;
  embedded::launch(call, &embedded::sgd_step, &pyllm_cuda_sgd_step, args);
  call.finish();
}

void lion(py::handle param, py::handle grad, py::handle exp_avg, double lr, double beta1,
          double beta2, double weight_decay, double grad_scale, py::handle master) {
  Call call(param, "param");
  OptimizerBuffers buffers(call, param, grad, master);
  const OptimizerState moment = buffers.state(exp_avg, "exp_avg");
  require_fraction(beta1, "beta1"), require_fraction(beta2, "beta2");
  LionTensor tensor{};
  LionStep args{};
  buffers.fill(tensor, args, grad_scale);
  tensor.exp_avg = moment.values, tensor.exp_avg_scale = moment.scale;
  args.lr = lr, args.beta1 = beta1, args.beta2 = beta2, args.weight_decay = weight_decay;
  embedded::launch(call, &embedded::lion_step, &pyllm_cuda_lion_step, args);
  call.finish();
}

// A number for the host, so it waits for the device.
double square_sum(py::handle object) {
  Call call(object, "x");
  const Input x(call, object, "x");
  require_kernel_float(x).require_contiguous();
  constexpr int64_t kPart = 65536;
  const GradientTensor tensor{x->data, x->size(), code_of(x->dtype)};
  GradientNorm args{};
  args.tensors = &tensor, args.count = 1, args.max_norm = 1;
  const int64_t parts = (x->size() + kPart - 1) / kPart;
  args.partial = call.workspace_of<double>(parts > 0 ? parts : 1);
  args.norm = call.workspace_of<float>(1);
  call.launch(&pyllm_cuda_gradient_norm, args);
  float norm = 0;
  call.run([&](cudaStream_t stream) {
    const cudaError_t error =
        cudaMemcpyAsync(&norm, args.norm, sizeof norm, cudaMemcpyDeviceToHost, stream);
    return error != cudaSuccess ? error : cudaStreamSynchronize(stream);
  });
  call.finish();
  return static_cast<double>(norm) * norm;
}

}  // namespace

void bind_optim(py::module_& m) {
  const auto none = py::none();
  m.def("adam_step", &adam, py::arg("param"), py::arg("grad"), py::arg("exp_avg"),
        py::arg("exp_avg_sq"), py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"),
        py::arg("weight_decay"), py::arg("step"), py::arg("max_exp_avg_sq") = none,
        py::arg("grad_scale") = 1.0, py::arg("master") = none, py::arg("decoupled") = false);
  m.def("sgd_step", &sgd, py::arg("param"), py::arg("grad"), py::arg("momentum_buffer"),
        py::arg("lr"), py::arg("momentum"), py::arg("dampening"), py::arg("weight_decay"),
        py::arg("nesterov"), py::arg("first"), py::arg("grad_scale") = 1.0,
        py::arg("master") = none);
  m.def("lion_step", &lion, py::arg("param"), py::arg("grad"), py::arg("exp_avg"), py::arg("lr"),
        py::arg("beta1"), py::arg("beta2"), py::arg("weight_decay"), py::arg("grad_scale") = 1.0,
        py::arg("master") = none);
  m.def("sum_of_squares", &square_sum, py::arg("x"));
}

}  // namespace pyllm::bind_cuda
