// Launchers of pointwise functions and casts: merge axes that lie next to one another, and take
// pieces of 16 bytes where the last axis has them.
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
  return size;
}

// Whether the elements of the last axis lie next to one another, and each row of them starts on a
// multiple of W.
template <class T>
bool has_pieces(int W, const void* p, int32_t ndim, const int64_t (&strides)[8]) {
  bool has =
      ndim > 0 && strides[ndim - 1] == 1 && reinterpret_cast<uintptr_t>(p) % (W * sizeof(T)) == 0;
  for (int i = 0; i < ndim - 1; ++i) has = has && strides[i] % W == 0;
  return has;
}

template <int W, class Kernel, class Args>
cudaError_t launch_pieces(Kernel kernel, Args a, int64_t size, cudaStream_t stream) {
  if (size == 0) return cudaSuccess;
  if (a.ndim == 0) a.ndim = 1, a.shape[0] = 1;
  const int64_t n = a.shape[a.ndim - 1], pieces = size / n * (n / W + n % W);
  const int64_t blocks = (pieces + kPointwiseThreads - 1) / kPointwiseThreads;
  if (blocks > kMaxGridX) return cudaErrorInvalidValue;
  return PYLLM_LAUNCH(kernel, dim3(static_cast<unsigned>(blocks)), dim3(kPointwiseThreads), 0,
                      stream, a, pieces);
}

template <class T, PointwiseKind kind>
cudaError_t launch_pointwise(const Pointwise& a, int64_t size, cudaStream_t stream) {
  constexpr int W = dev::kVecWidth<T>;
  constexpr bool kComparison = kind == PointwiseKind::comparison;
  if constexpr (!kComparison) {
    if (takes_longer_than_memory(a.op)) {
      return launch_pieces<1>(pointwise<T, kind, true, 1>, a, size, stream);
    }
  }
  const auto operand_has_pieces = [&](const void* p, const int64_t (&strides)[8]) {
    const bool is_one_a_row = a.ndim > 0 && strides[a.ndim - 1] == 0;  // or not there
    return is_one_a_row || has_pieces<T>(W, p, a.ndim, strides);
  };
  using Y = std::conditional_t<kComparison, Byte, T>;
  const bool wide = operand_has_pieces(a.a, a.a_strides) && operand_has_pieces(a.b, a.b_strides) &&
                    has_pieces<Y>(W, a.y, a.ndim, a.y_strides);
  return wide ? launch_pieces<W>(pointwise<T, kind, false, W>, a, size, stream)
              : launch_pieces<1>(pointwise<T, kind, false, 1>, a, size, stream);
}

cudaError_t launch_comparison_of_integers(const Pointwise& a, int64_t size, cudaStream_t stream) {
  switch (a.dtype) {
    case kInt32:
      return launch_pieces<1>(compare_integers<int32_t>, a, size, stream);
    case kInt64:
      return launch_pieces<1>(compare_integers<int64_t>, a, size, stream);
    default:
      return launch_pieces<1>(compare_integers<uint8_t>, a, size, stream);
  }
}

template <class From, class To>
cudaError_t launch_cast(const PointwiseCast& a, int64_t size, cudaStream_t stream) {
  constexpr int W = kCastWidth<From, To>;
  const bool wide =
      has_pieces<From>(W, a.x, a.ndim, a.x_strides) && has_pieces<To>(W, a.y, a.ndim, a.y_strides);
  return wide ? launch_pieces<W>(pointwise_cast<From, To, W>, a, size, stream)
              : launch_pieces<1>(pointwise_cast<From, To, 1>, a, size, stream);
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
  if (a.op >= kEqual && (is_index_type(a.dtype) || a.dtype == kBool)) {
    return launch_comparison_of_integers(a, size, stream);
  }
  return with_type(a.dtype, [&](auto sample) -> cudaError_t {
    using T = decltype(sample);
    if (unary) return launch_pointwise<T, PointwiseKind::unary>(a, size, stream);
    if (a.op < kEqual) return launch_pointwise<T, PointwiseKind::binary>(a, size, stream);
    return launch_pointwise<T, PointwiseKind::comparison>(a, size, stream);
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
      return launch_cast<decltype(from), decltype(to)>(a, size, stream);
    });
  });
}
