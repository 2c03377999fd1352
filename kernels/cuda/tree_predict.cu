// Launcher of prediction by trees.
#include "launch.cuh"
#include "tree_predict.cuh"

extern "C" cudaError_t pyllm_cuda_tree_predict(const TreePredict* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  const TreePredict& a = *args;
  constexpr int64_t kThreads = kPredictThreads;
  if (a.rows < 0 || a.rows > kMaxGridX * kThreads || a.outputs < 1 || a.width < 1 ||
      a.first_tree < 0 || a.last_tree < a.first_tree) {
    return cudaErrorInvalidValue;
  }
  if (a.rows == 0) return cudaSuccess;
  const dim3 grid(static_cast<unsigned>((a.rows + kThreads - 1) / kThreads)), block(kThreads);
  return a.x_float64 ? PYLLM_LAUNCH(tree_predict<double>, grid, block, 0, stream, a)
                     : PYLLM_LAUNCH(tree_predict<float>, grid, block, 0, stream, a);
}
