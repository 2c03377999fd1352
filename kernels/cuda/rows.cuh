// Rows of matrices: vectors of elements to and from float32, and the threads that share a row.
#pragma once

#include "reduce.cuh"

namespace pyllm::cuda {

// The W elements of vector i of a row, kPiece of them in one access.
template <int kPiece, class T, int W>
PYLLM_DEVICE void load_pieces(float (&to)[W], const T* row, int64_t i) {
  const auto* pieces = reinterpret_cast<const dev::Vec<T, kPiece>*>(row + i * W);
#pragma unroll
  for (int p = 0; p < W / kPiece; ++p) {
    const auto v = dev::ldg(pieces + p);
#pragma unroll
    for (int k = 0; k < kPiece; ++k) to[p * kPiece + k] = dev::to_float(v.v[k]);
  }
}
template <int kPiece, class T, int W>
PYLLM_DEVICE void store_pieces(T* row, int64_t i, const float (&from)[W]) {
  auto* pieces = reinterpret_cast<dev::Vec<T, kPiece>*>(row + i * W);
#pragma unroll
  for (int p = 0; p < W / kPiece; ++p) {
    dev::Vec<T, kPiece> v;
#pragma unroll
    for (int k = 0; k < kPiece; ++k) v.v[k] = dev::from_float<T>(from[p * kPiece + k]);
    dev::stg(pieces + p, v);
  }
}

// In accesses of up to 16 bytes.
template <class T, int W>
PYLLM_DEVICE void load_row(float (&to)[W], const T* row, int64_t i) {
  load_pieces < W<dev::kVecWidth<T> ? W : dev::kVecWidth<T>>(to, row, i);
}
template <class T, int W>
PYLLM_DEVICE void store_row(T* row, int64_t i, const float (&from)[W]) {
  store_pieces < W<dev::kVecWidth<T> ? W : dev::kVecWidth<T>>(row, i, from);
}

// A compile-time number of elements, as an argument.
template <int K>
struct Width {
  static constexpr int value = K;
};

// Thread `rank` of kThreads' share of a row that may start anywhere: visit(Width<K>{}, i) for the
// K elements from the i-th on. K is W where they start on a multiple of 16 bytes, and 1 for the few
// elements before the first of those and after the last.
template <class T, int W, int kThreads, class Visit>
PYLLM_DEVICE void for_row(const T* row, int64_t n, int rank, Visit&& visit) {
  int64_t lead = 0;
  if constexpr (W > 1) {
    static_assert(W == dev::kVecWidth<T> && 2 * W <= dev::kWarpSize);
    lead = -(reinterpret_cast<intptr_t>(row) / static_cast<int>(sizeof(T))) & (W - 1);
    if (lead > n) lead = n;
  }
  const int64_t in_vectors = (n - lead) / W * W;
  if (rank < n - in_vectors) visit(Width<1>{}, rank < lead ? rank : in_vectors + rank);
#pragma unroll 4
  for (int64_t i = lead + rank * W; i < lead + in_vectors; i += kThreads * W) visit(Width<W>{}, i);
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
