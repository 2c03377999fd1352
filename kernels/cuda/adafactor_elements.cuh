// What the passes of Adafactor share: the table of tensors, tiles, and four elements at a time.
#pragma once

#include "adafactor.h"
#include "rows.cuh"

namespace pyllm::cuda {

constexpr int kAdafactorThreads = 256, kAdafactorTensors = 16;
constexpr int kTileRows = 32, kLaneColumns = 4, kTileColumns = kAdafactorThreads * kLaneColumns;
constexpr int kTileElements = 4096;

struct AdafactorEntry {
  AdafactorTensor t;
  float* row_parts;     // (batches, rows, slabs)
  float* column_parts;  // (batches, row_tiles, cols)
  float* means;         // (batches,): of the row states
  double* sums;         // (2, tiles): of p^2 and u^2
  float* rates;         // (2,): of u, and what p loses
  int64_t row_tiles, slabs, tiles;
  int32_t aligned;  // four neighbours of any row take one access
};

struct AdafactorBatch {
  AdafactorEntry entries[kAdafactorTensors];
  int32_t first_block[kAdafactorTensors + 1];
  const float* grad_scale;
  float grad_factor, beta1, beta2, rest2, eps, least_rms, lr, decay, clip_threshold;
  int32_t count, scale_parameter;
};

// The entry of a block, and its place among the entry's blocks.
struct AdafactorBlock {
  int which = 0;
  int64_t place;
  PYLLM_DEVICE explicit AdafactorBlock(const AdafactorBatch& a) {
    while (a.first_block[which + 1] <= static_cast<int>(blockIdx.x)) ++which;
    place = static_cast<int>(blockIdx.x) - a.first_block[which];
  }
};

// Up to four neighbours, the rest zeros.
template <class T>
PYLLM_DEVICE void load_some(float (&to)[kLaneColumns], const T* from, int count, bool wide) {
  if (wide && count == kLaneColumns) return load_row(to, from, 0);
#pragma unroll
  for (int k = 0; k < kLaneColumns; ++k) {
    to[k] = k < count ? dev::to_float(dev::ldg(from + k)) : 0.0f;
  }
}
template <class T>
PYLLM_DEVICE void store_some(T* to, const float (&from)[kLaneColumns], int count, bool wide) {
  if (wide && count == kLaneColumns) return store_row(to, 0, from);
#pragma unroll
  for (int k = 0; k < kLaneColumns; ++k) {
    if (k < count) dev::stg(to + k, dev::from_float<T>(from[k]));
  }
}

// The elements of one tensor, four at a time.
template <class P, class G>
struct AdafactorElements {
  const AdafactorBatch& a;
  const AdafactorEntry& e;
  float grad_scale;

  PYLLM_DEVICE AdafactorElements(const AdafactorBatch& batch, const AdafactorEntry& entry)
      : a(batch),
        e(entry),
        grad_scale(batch.grad_factor *
                   (batch.grad_scale != nullptr ? dev::ldg(batch.grad_scale) : 1.0f)) {}

  PYLLM_DEVICE void gradient(float (&g)[kLaneColumns], int64_t at, int count) const {
    load_some(g, static_cast<const G*>(e.t.grad) + at, count, e.aligned != 0);
#pragma unroll
    for (float& value : g) value *= grad_scale;
  }
  PYLLM_DEVICE void parameter(float (&p)[kLaneColumns], int64_t at, int count) const {
    if (e.t.master != nullptr) return load_some(p, e.t.master + at, count, e.aligned != 0);
    load_some(p, static_cast<const P*>(e.t.param) + at, count, e.aligned != 0);
  }
  PYLLM_DEVICE float averaged(float state, float mean) const {
    return a.beta2 * state + a.rest2 * (mean + a.eps);
  }
  PYLLM_DEVICE void apply(const float (&u)[kLaneColumns], int64_t at, int count) const {
    const float rate = dev::ldg(e.rates), loses = dev::ldg(e.rates + 1);
    float p[kLaneColumns], m[kLaneColumns] = {};
    parameter(p, at, count);
    if (e.t.exp_avg != nullptr) load_some(m, e.t.exp_avg + at, count, e.aligned != 0);
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      float step = u[k] * rate;
      if (e.t.exp_avg != nullptr) step = m[k] = a.beta1 * m[k] + (1.0f - a.beta1) * step;
      p[k] = p[k] - p[k] * loses - step;
    }
    store_some(static_cast<P*>(e.t.param) + at, p, count, e.aligned != 0);
    if (e.t.master != nullptr) store_some(e.t.master + at, p, count, e.aligned != 0);
    if (e.t.exp_avg != nullptr) store_some(e.t.exp_avg + at, m, count, e.aligned != 0);
  }
};

PYLLM_DEVICE int up_to(int64_t left, int most) {
  return left < 0 ? 0 : left < most ? static_cast<int>(left) : most;
}

// A tile of a factored tensor; a warp has 128 neighbouring columns of it, a lane four.
struct AdafactorTile {
  int64_t batch, row_tile, slab, first_row, column;
  int rows, count;

  PYLLM_DEVICE AdafactorTile(const AdafactorEntry& e, int64_t place)
      : batch(place / (e.row_tiles * e.slabs)),
        row_tile(place / e.slabs % e.row_tiles),
        slab(place % e.slabs),
        first_row(row_tile * kTileRows),
        column(slab * kTileColumns + threadIdx.x * kLaneColumns),
        rows(up_to(e.t.rows - first_row, kTileRows)),
        count(up_to(e.t.cols - column, kLaneColumns)) {}
  PYLLM_DEVICE int64_t row(const AdafactorEntry& e, int r) const {
    return batch * e.t.rows + first_row + r;
  }
  PYLLM_DEVICE int64_t at(const AdafactorEntry& e, int r) const {
    return row(e, r) * e.t.cols + column;
  }
};

}  // namespace pyllm::cuda
