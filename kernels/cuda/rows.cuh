// Rows of matrices: vectors of elements to and from float32, and the threads that share a row.
#pragma once

#include "reduce.cuh"

namespace pyllm::cuda {

// The W elements of vector i of a row, in accesses of up to 16 bytes.
template <class T, int W>
PYLLM_DEVICE void load_row(float (&to)[W], const T* row, int64_t i) {
  constexpr int kPiece = W < dev::kVecWidth<T> ? W : dev::kVecWidth<T>;
  const auto* pieces = reinterpret_cast<const dev::Vec<T, kPiece>*>(row + i * W);
#pragma unroll
  for (int p = 0; p < W / kPiece; ++p) {
    const auto v = dev::ldg(pieces + p);
#pragma unroll
    for (int k = 0; k < kPiece; ++k) to[p * kPiece + k] = dev::to_float(v.v[k]);
  }
}
template <class T, int W>
PYLLM_DEVICE void store_row(T* row, int64_t i, const float (&from)[W]) {
  constexpr int kPiece = W < dev::kVecWidth<T> ? W : dev::kVecWidth<T>;
  auto* pieces = reinterpret_cast<dev::Vec<T, kPiece>*>(row + i * W);
#pragma unroll
  for (int p = 0; p < W / kPiece; ++p) {
    dev::Vec<T, kPiece> v;
#pragma unroll
    for (int k = 0; k < kPiece; ++k) v.v[k] = dev::from_float<T>(from[p * kPiece + k]);
    dev::stg(pieces + p, v);
  }
}

// Where an array may be of type T or of float32, as parameters are beside 16-bit activations.
template <class T, int W>
PYLLM_DEVICE void load_parameter(float (&to)[W], const void* p, bool is_float32, int64_t i) {
  if (is_float32) {
    load_row<float, W>(to, static_cast<const float*>(p), i);
  } else {
    load_row<T, W>(to, static_cast<const T*>(p), i);
  }
}

// The threads that share a row: a whole block, or each of the four warps of a block.
template <int kThreads>
struct RowTeam {
  static constexpr int kRows = kThreads == dev::kWarpSize ? 4 : 1;
  static constexpr int kBlock = kThreads * kRows;
  static constexpr int kScratch = kBlock / dev::kWarpSize;

  PYLLM_DEVICE static int rank() { return threadIdx.x % kThreads; }
  PYLLM_DEVICE static int64_t row() { return int64_t{blockIdx.x} * kRows + threadIdx.x / kThreads; }
  static unsigned blocks(int64_t rows) { return static_cast<unsigned>((rows + kRows - 1) / kRows); }

  template <class Op>
  PYLLM_DEVICE static float reduce(float value, const dev::Shared<float>& scratch) {
    if constexpr (kRows > 1) {
      return dev::warp_reduce<Op>(value);
    } else {
      return dev::block_reduce<Op, kThreads>(value, scratch);
    }
  }
};

}  // namespace pyllm::cuda
