// Launcher of strided copies: merges axes that lie next to one another, and takes neighbours along
// the last one together, in elements of up to 16 bytes.
#include "copy.cuh"
#include "launch.cuh"

namespace pyllm::cuda {
namespace {

// Drops axes of length 1 and joins an axis to the one before it where all strides allow it.
StridedCopy merged(const StridedCopy& a) {
  StridedCopy m = a;
  m.ndim = 0;
  for (int i = 0; i < a.ndim; ++i) {
    if (a.shape[i] == 1) continue;
    const int last = m.ndim - 1;
    const bool joins = last >= 0 && m.from_strides[last] == a.from_strides[i] * a.shape[i] &&
                       m.mask_strides[last] == a.mask_strides[i] * a.shape[i] &&
                       m.to_strides[last] == a.to_strides[i] * a.shape[i];
    const int at = joins ? last : m.ndim++;
    m.shape[at] = joins ? m.shape[last] * a.shape[i] : a.shape[i];
    m.from_strides[at] = a.from_strides[i];
    m.mask_strides[at] = a.mask_strides[i];
    m.to_strides[at] = a.to_strides[i];
  }
  return m;
}

// Twice the element where the last axis allows it: pairs lie next to one another in both arrays and
// start on multiples of their size.
bool widened(StridedCopy& a) {
  if (a.ndim == 0 || a.mask != nullptr) return false;
  const int last = a.ndim - 1, bytes = 2 * a.item;
  const bool filled = a.from == nullptr;
  bool pairs = a.shape[last] % 2 == 0 && a.to_strides[last] == 1 &&
               (filled || a.from_strides[last] == 1) &&
               reinterpret_cast<uintptr_t>(a.to) % bytes == 0 &&
               reinterpret_cast<uintptr_t>(a.from) % bytes == 0;
  for (int i = 0; i < last; ++i) {
    pairs = pairs && a.to_strides[i] % 2 == 0 && (filled || a.from_strides[i] % 2 == 0);
  }
  if (!pairs) return false;
  if (a.item < 8) a.fill |= a.fill << (8 * a.item);
  a.item = bytes;
  a.shape[last] /= 2;
  for (int i = 0; i < last; ++i) a.to_strides[i] /= 2, a.from_strides[i] /= 2;
  return true;
}

template <class T>
cudaError_t launch_copy(const StridedCopy& a, int64_t size, cudaStream_t stream) {
  const int64_t blocks = (size + kCopyThreads - 1) / kCopyThreads;
  if (blocks > kMaxGridX) return cudaErrorInvalidValue;
  return PYLLM_LAUNCH((strided_copy<T>), dim3(static_cast<unsigned>(blocks)), dim3(kCopyThreads), 0,
                      stream, a, size);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_strided_copy(const StridedCopy* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  const bool known = args->item == 1 || args->item == 2 || args->item == 4 || args->item == 8;
  if (args->ndim < 0 || args->ndim > 8 || !known) return cudaErrorInvalidValue;
  int64_t size = 1;
  for (int i = 0; i < args->ndim; ++i) {
    if (args->shape[i] < 0) return cudaErrorInvalidValue;
    size *= args->shape[i];
  }
  if (size == 0) return cudaSuccess;
  StridedCopy a = merged(*args);
  while (a.item < 16 && widened(a)) size /= 2;
  switch (a.item) {
    case 1:
      return launch_copy<uint8_t>(a, size, stream);
    case 2:
      return launch_copy<uint16_t>(a, size, stream);
    case 4:
      return launch_copy<uint32_t>(a, size, stream);
    case 8:
      return launch_copy<uint64_t>(a, size, stream);
    case 16:
      return launch_copy<SixteenBytes>(a, size, stream);
    default:
      return cudaErrorInvalidValue;
  }
}
