// Sums and extrema along the rows or down the columns of a matrix.
#pragma once

#include <cstdint>

namespace pyllm::cuda {

enum ReductionOp : int32_t { kReduceSum = 0, kReduceMax = 1, kReduceMin = 2 };

// Chunks that a reduction of n elements is cut into where only `lines` of them are computed: a
// function of the shape alone, so that results are the same bits on every device.
constexpr int64_t reduction_chunks(int64_t lines, int64_t n) {
  constexpr int64_t kLinesThatFillADevice = 1024, kFewest = 2048;
  const int64_t wanted = lines > 0 ? kLinesThatFillADevice / lines : 1;
  const int64_t most = n / kFewest;
  const int64_t chunks = wanted < most ? wanted : most;
  return chunks > 1 ? chunks : 1;
}

}  // namespace pyllm::cuda

// y (rows,) over the columns of x (rows, columns), or y (columns,) over the rows if `down`. Summed
// in float32, in a fixed order. The sum of nothing is 0; a NaN makes an extremum NaN, and that of
// nothing is -inf or inf.
struct Reduction {
  const void* x;
  void* y;         // float32 for sums, the dtype of x for extrema
  float* partial;  // (rows, chunks), or (chunks, columns) if `down`; null with one chunk
  int64_t rows, columns, chunks;
  int32_t op, dtype;
  bool down;
};
