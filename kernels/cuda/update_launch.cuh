// Launchers of element-wise optimizers: they fill tables of tensors and launch each when it is
// full.
#pragma once

#include "launch.cuh"
#include "update.cuh"

namespace pyllm::cuda {

// f(P{}, G{}): gradients are of the parameters' type, or float32.
template <class F>
cudaError_t with_storage(int32_t param_dtype, int32_t grad_dtype, F&& f) {
  if (grad_dtype != param_dtype && grad_dtype != kFloat32) return cudaErrorInvalidValue;
  return with_type(param_dtype, [&](auto sample) -> cudaError_t {
    return grad_dtype == kFloat32 ? f(sample, float{}) : f(sample, sample);
  });
}

template <int kStates>
bool takes_wide_accesses(const UpdateTensor<kStates>& t) {
  constexpr uintptr_t kBytes = sizeof(float) * kUpdateWidth;
  uintptr_t addresses = reinterpret_cast<uintptr_t>(t.param) | reinterpret_cast<uintptr_t>(t.grad) |
                        reinterpret_cast<uintptr_t>(t.master);
  for (const void* state : t.states) addresses |= reinterpret_cast<uintptr_t>(state);
  return addresses % kBytes == 0;
}

template <class P, class G, class Rule>
cudaError_t launch_table(Update<Rule>& table, bool quantized, cudaStream_t stream) {
  if (table.count == 0) return cudaSuccess;
  const dim3 grid(static_cast<unsigned>(table.first_chunk[table.count])), block(kUpdateThreads);
  table.count = 0;
  return quantized ? PYLLM_LAUNCH((update_step<P, G, Rule, true>), grid, block, 0, stream, table)
                   : PYLLM_LAUNCH((update_step<P, G, Rule, false>), grid, block, 0, stream, table);
}

// Step: the argument struct of an optimizer; describe(tensor) gives its UpdateTensor.
template <class Rule, class Step, class Describe>
cudaError_t launch_update(const Step& a, const Rule& rule, Describe&& describe,
                          cudaStream_t stream) {
  return with_storage(a.param_dtype, a.grad_dtype, [&](auto param, auto grad) -> cudaError_t {
    using P = decltype(param);
    using G = decltype(grad);
    Update<Rule> table{};
    table.grad_factor = static_cast<float>(a.grad_factor);
    table.grad_scale = a.grad_scale;
    table.rule = rule;
    for (int64_t i = 0; i < a.count; ++i) {
      const UpdateTensor<Rule::kStates> t = describe(a.tensors[i]);
      if (t.n == 0) continue;
      const int64_t chunks = (t.n + kUpdateChunk - 1) / kUpdateChunk;
      if (t.n < 0 || chunks > kMaxGridX) return cudaErrorInvalidValue;
      if (table.count == kUpdateTensors || table.first_chunk[table.count] + chunks > kMaxGridX) {
        const cudaError_t error = launch_table<P, G>(table, a.quantized != 0, stream);
        if (error != cudaSuccess) return error;
      }
      table.tensors[table.count] = t;
      table.aligned[table.count] = takes_wide_accesses(t);
      table.first_chunk[table.count + 1] =
          table.first_chunk[table.count] + static_cast<int32_t>(chunks);
      ++table.count;
    }
    return launch_table<P, G>(table, a.quantized != 0, stream);
  });
}

}  // namespace pyllm::cuda
