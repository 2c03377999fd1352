// Launcher of rows by number: takes neighbours along a row together, in pieces of up to 16 bytes.
#include "gather.cuh"
#include "launch.cuh"

namespace pyllm::cuda {
namespace {

// Twice the element where rows are made of pairs that start on multiples of their size.
bool widened(RowsByNumber& a) {
  const int bytes = 2 * a.item;
  const bool pairs = a.width % 2 == 0 && reinterpret_cast<uintptr_t>(a.from) % bytes == 0 &&
                     reinterpret_cast<uintptr_t>(a.to) % bytes == 0;
  if (pairs) a.item = bytes, a.width /= 2;
  return pairs;
}

template <class T>
cudaError_t launch_rows(const RowsByNumber& a, cudaStream_t stream) {
  const int64_t blocks = (a.rows * a.width + kGatherThreads - 1) / kGatherThreads;
  if (blocks > kMaxGridX) return cudaErrorInvalidValue;
  const dim3 grid(static_cast<unsigned>(blocks)), block(kGatherThreads);
  return a.scatter ? PYLLM_LAUNCH((move_rows<T, true>), grid, block, 0, stream, a)
                   : PYLLM_LAUNCH((move_rows<T, false>), grid, block, 0, stream, a);
}

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_rows_by_number(const RowsByNumber* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  RowsByNumber a = *args;
  const bool known = a.item == 1 || a.item == 2 || a.item == 4 || a.item == 8;
  if (a.rows < 0 || a.entries < 0 || a.width < 0 || !known) return cudaErrorInvalidValue;
  if (a.rows == 0 || a.width == 0) return cudaSuccess;
  while (a.item < 16 && widened(a)) {
  }
  switch (a.item) {
    case 1:
      return launch_rows<uint8_t>(a, stream);
    case 2:
      return launch_rows<uint16_t>(a, stream);
    case 4:
      return launch_rows<uint32_t>(a, stream);
    case 8:
      return launch_rows<uint64_t>(a, stream);
    default:
      return launch_rows<pyllm::dev::Vec<uint64_t, 2>>(a, stream);
  }
}
