// Launcher of the gradient norm: tables of tensors for the first stage, then the second.
#include "gradient_norm.cuh"
#include "launch.cuh"

namespace pyllm::cuda {
namespace {

cudaError_t launch_parts(GradientParts& table, cudaStream_t stream) {
  if (table.count == 0) return cudaSuccess;
  const int32_t parts = table.first_part[table.count];
  const cudaError_t error =
      PYLLM_LAUNCH(gradient_parts<kNormPartThreads>, dim3(static_cast<unsigned>(parts)),
                   dim3(kNormPartThreads), 0, stream, table);
  table.partial += parts;
  table.count = 0;
  return error;
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_gradient_norm(const GradientNorm* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  const GradientNorm& a = *args;
  if (a.count < 0 || !(a.max_norm > 0)) return cudaErrorInvalidValue;
  GradientParts table{};
  table.partial = a.partial;
  for (int64_t i = 0; i < a.count; ++i) {
    const GradientTensor& t = a.tensors[i];
    if (t.n == 0) continue;
    const int64_t parts = (t.n + kNormPart - 1) / kNormPart;
    if (t.n < 0 || parts > kMaxGridX || t.dtype < kFloat32 || t.dtype > kBFloat16) {
      return cudaErrorInvalidValue;
    }
    if (table.count == kNormTensors || table.first_part[table.count] + parts > kMaxGridX) {
      if (const cudaError_t error = launch_parts(table, stream); error != cudaSuccess) return error;
    }
    table.tensors[table.count] = t;
    table.first_part[table.count + 1] = table.first_part[table.count] + static_cast<int32_t>(parts);
    ++table.count;
  }
  if (const cudaError_t error = launch_parts(table, stream); error != cudaSuccess) return error;
  const GradientTotal total{a.partial,  a.norm,          a.scale, table.partial - a.partial,
                            a.max_norm, a.sum_of_squares};
  return PYLLM_LAUNCH(gradient_total<kNormPartThreads>, dim3(1), dim3(kNormPartThreads), 0, stream,
                      total);
}
