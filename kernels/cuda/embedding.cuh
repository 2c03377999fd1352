// Forward: a warp copies a row. Backward: the rows are sorted by id (sort.cuh), so that those of an
// id are neighbours, in the order of positions; then
//
//   tiles   a block walks over 32 sorted rows; the sum of an id whose rows all lie in the tile goes
//           to dweight, pieces of ids that cross its ends to `partial`
//   rest    a block an id adds up its pieces, or writes zeros where there is no row
//
// A frequent id thus keeps many blocks busy. Each row of grad is read once, and each row of dweight
// written once.
#pragma once

#include "embedding.h"
#include "indices.cuh"
#include "rows.cuh"

namespace pyllm::cuda {

constexpr int kEmbeddingThreads = 128, kEmbeddingTile = 32;

template <class T, int W>
__global__ void __launch_bounds__(kEmbeddingThreads) embedding_forward(EmbeddingForward a) {
  using Team = RowTeam<dev::kWarpSize>;
  const int64_t row = Team::row();
  if (row >= a.rows) return;
  const int64_t id = load_index(a.ids, a.id_dtype, row);
  T* y = static_cast<T*>(a.y) + row * a.y_row_stride;
  if (id < 0 || id >= a.entries) {
    for (int64_t i = Team::rank(); i < a.width; i += dev::kWarpSize) {
      dev::stg(y + i, dev::from_float<T>(NAN));
    }
    return;
  }
  using Piece = dev::Vec<T, W>;
  const auto* from = reinterpret_cast<const Piece*>(static_cast<const T*>(a.weight) + id * a.width);
#pragma unroll 4
  for (int64_t i = Team::rank(); i < a.width / W; i += dev::kWarpSize) {
    dev::stg(reinterpret_cast<Piece*>(y) + i, dev::ldg(from + i));
  }
}

// What the rows are sorted by: their id, or `entries` if they count for nothing.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) embedding_keys(EmbeddingBackward a) {
  const int64_t row = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (row >= a.rows) return;
  const int64_t id = load_index(a.ids, a.id_dtype, row);
  const bool counts = id >= 0 && id < a.entries && id != a.padding;
  dev::stg(a.keys + row, static_cast<uint32_t>(counts ? id : a.entries));
  dev::stg(a.numbers + row, static_cast<uint32_t>(row));
}

// starts[v] = how many keys are below v. Here `a.keys` and `a.numbers` are the sorted ones.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) embedding_starts(EmbeddingBackward a) {
  const int64_t v = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (v > a.entries) return;
  int64_t low = 0, high = a.rows;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (dev::ldg(a.keys + middle) < v) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  dev::stg(a.starts + v, static_cast<uint32_t>(low));
}

template <class D, int W>
PYLLM_DEVICE void store_gradient(const EmbeddingBackward& a, int64_t id, int64_t i,
                                 float (&sum)[W]) {
  D* row = static_cast<D*>(a.dweight) + id * a.width;
  if (a.accumulate) {
    float before[W];
    load_row(before, row, i);
#pragma unroll
    for (int k = 0; k < W; ++k) sum[k] += before[k];
  }
  store_row(row, i, sum);
}

template <class T, class D, int W>
__global__ void __launch_bounds__(kEmbeddingThreads) embedding_tiles(EmbeddingBackward a) {
  constexpr int kAhead = 4;  // rows whose loads are in flight together
  const int64_t i = int64_t{blockIdx.y} * kEmbeddingThreads + threadIdx.x;
  if (i >= a.width / W) return;
  const int64_t begin = int64_t{blockIdx.x} * kEmbeddingTile;
  const int64_t used = dev::ldg(a.starts + a.entries);
  const int64_t end = begin + kEmbeddingTile < used ? begin + kEmbeddingTile : used;
  if (begin >= end) return;
  float sum[W] = {};
  uint32_t id = dev::ldg(a.keys + begin);
  const auto flush = [&] {
    const int64_t first = dev::ldg(a.starts + id), last = dev::ldg(a.starts + id + 1);
    if (first >= begin && last <= end) {
      store_gradient<D, W>(a, id, i, sum);
    } else {
      const int64_t piece = int64_t{blockIdx.x} * 2 + (first >= begin);
      store_row(a.partial + piece * a.width, i, sum);
    }
  };
  for (int64_t at = begin; at < end; at += kAhead) {
    float g[kAhead][W];
    uint32_t ids[kAhead];
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (at + u >= end) break;
      ids[u] = dev::ldg(a.keys + at + u);
      const int64_t row = dev::ldg(a.numbers + at + u);
      load_row(g[u], static_cast<const T*>(a.grad) + row * a.grad_row_stride, i);
    }
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      if (at + u >= end) break;
      if (ids[u] != id) {
        flush();
        id = ids[u];
#pragma unroll
        for (int k = 0; k < W; ++k) sum[k] = 0.0f;
      }
#pragma unroll
      for (int k = 0; k < W; ++k) sum[k] += g[u][k];
    }
  }
  flush();
}

template <class D, int W>
__global__ void __launch_bounds__(kEmbeddingThreads) embedding_rest(EmbeddingBackward a) {
  const int64_t i = int64_t{blockIdx.y} * kEmbeddingThreads + threadIdx.x, id = blockIdx.x;
  if (i >= a.width / W) return;
  const int64_t begin = dev::ldg(a.starts + id), end = dev::ldg(a.starts + id + 1);
  float sum[W] = {}, piece[W];
  if (begin == end) {
    if (!a.accumulate) store_row(static_cast<D*>(a.dweight) + id * a.width, i, sum);
    return;
  }
  const int64_t first = begin / kEmbeddingTile, last = (end - 1) / kEmbeddingTile;
  if (first == last) return;
#pragma unroll 4
  for (int64_t tile = first; tile <= last; ++tile) {
    load_row(piece, a.partial + (tile * 2 + (tile == first)) * a.width, i);
#pragma unroll
    for (int k = 0; k < W; ++k) sum[k] += piece[k];
  }
  store_gradient<D, W>(a, id, i, sum);
}

}  // namespace pyllm::cuda
