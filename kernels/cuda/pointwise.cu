// Launchers of pointwise functions and casts: merge axes that lie next to one another.
#include "launch.cuh"
#include "pointwise.cuh"

namespace pyllm::cuda {
namespace {

// Drops axes of length 1 and joins an axis to the one before it where all strides allow it.
template <int kArrays>
void merge_axes(int32_t& ndim, int64_t (&shape)[8], int64_t (*const (&strides)[kArrays])[8]) {
  int merged = 0;
  for (int i = 0; i < ndim; ++i) {
    const int64_t n = shape[i];
    if (n == 1) continue;
    bool joins = merged > 0;
    for (auto* s : strides) joins = joins && (*s)[merged - 1] == (*s)[i] * n;
    const int at = joins ? merged - 1 : merged++;
    shape[at] = joins ? shape[at] * n : n;
    for (auto* s : strides) (*s)[at] = (*s)[i];
  }
  ndim = merged;
}

// -1 for a shape that is none.
int64_t elements(int32_t ndim, const int64_t (&shape)[8]) {
  if (ndim < 0 || ndim > 8) return -1;
  int64_t size = 1;
  for (int i = 0; i < ndim; ++i) {
    if (shape[i] < 0) return -1;
    size *= shape[i];
  }
  const int64_t blocks = (size + kPointwiseThreads - 1) / kPointwiseThreads;
  return blocks > kMaxGridX ? -1 : size;
}

template <class Kernel, class Args>
cudaError_t launch_elements(Kernel kernel, const Args& a, int64_t size, cudaStream_t stream) {
  if (size == 0) return cudaSuccess;
  const dim3 grid(static_cast<unsigned>((size + kPointwiseThreads - 1) / kPointwiseThreads));
  return PYLLM_LAUNCH(kernel, grid, dim3(kPointwiseThreads), 0, stream, a, size);
}

// f(T{}) for any storage type.
template <class F>
cudaError_t with_any_type(int32_t dtype, F&& f) {
  switch (dtype) {
    case kInt32:
      return f(int32_t{});
    case kInt64:
      return f(int64_t{});
    case kBool:
      return f(Byte{});
    default:
      return with_type(dtype, f);
  }
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_pointwise(const Pointwise* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  Pointwise a = *args;
  const int64_t size = elements(a.ndim, a.shape);
  const bool unary = a.op < kAdd;
  if (size < 0 || a.op < 0 || a.op >= kPointwiseOps || unary != (a.b == nullptr)) {
    return cudaErrorInvalidValue;
  }
  merge_axes<3>(a.ndim, a.shape, {&a.a_strides, &a.b_strides, &a.y_strides});
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if (unary) return launch_elements(pointwise<T, PointwiseKind::unary>, a, size, stream);
    if (a.op < kEqual) return launch_elements(pointwise<T, PointwiseKind::binary>, a, size, stream);
    return launch_elements(pointwise<T, PointwiseKind::comparison>, a, size, stream);
  });
}

extern "C" cudaError_t pyllm_cuda_pointwise_cast(const PointwiseCast* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  PointwiseCast a = *args;
  const int64_t size = elements(a.ndim, a.shape);
  if (size < 0) return cudaErrorInvalidValue;
  merge_axes<2>(a.ndim, a.shape, {&a.x_strides, &a.y_strides});
  return with_any_type(a.from, [&](auto from) -> cudaError_t {
    return with_any_type(a.to, [&](auto to) -> cudaError_t {
      return launch_elements(pointwise_cast<decltype(from), decltype(to)>, a, size, stream);
    });
  });
}
