// Adafactor (Shazeer and Stern 2018, algorithms 4 and 5), g = grad_scale * grad:
//
//   R = beta2 R + (1 - beta2) mean over columns of (g^2 + eps), C alike over rows   (matrices)
//   u = g / sqrt(R C / mean(R)),  or V = beta2 V + (1 - beta2) (g^2 + eps), u = g / sqrt(V)
//   u = u / max(1, rms(u) / clip_threshold)
//   p = p (1 - a decay) - a u,  a = lr max(least_rms, rms(p));  with exp_avg: the mean of a u
//
//   sums     rows, columns and weights of tiles: 32 rows by 1,024 columns, or 4,096 elements
//   states   a thread a row or column adds up its tiles; then one block a matrix takes mean(R)
//   updates  rms(u), from another read of the gradients
//   rates    a block a tensor
//   apply    the third read of the gradients
//
// Gradients are read three times, parameters twice, as on the CPU: each sum is needed before the
// next. Sums of tiles are added in a fixed order, in float64.
#pragma once

#include "adafactor_elements.cuh"

namespace pyllm::cuda {

// Lane l gets the sum over the warp of values[l]: half of the values change hands at each step.
template <int kHalf = dev::kWarpSize / 2>
PYLLM_DEVICE float sums_by_lane(float (&values)[dev::kWarpSize]) {
  const bool upper = threadIdx.x & kHalf;
#pragma unroll
  for (int i = 0; i < kHalf; ++i) {
    const float given = upper ? values[i] : values[i + kHalf];
    const float kept = upper ? values[i + kHalf] : values[i];
    values[i] = kept + __shfl_xor_sync(dev::kFullMask, given, kHalf);
  }
  if constexpr (kHalf > 1) {
    return sums_by_lane<kHalf / 2>(values);
  } else {
    return values[0];
  }
}

template <class P, class G>
PYLLM_DEVICE float adafactor_tile_sums(const AdafactorElements<P, G>& elements, int64_t place,
                                       const dev::Shared<float>& by_warp) {
  const AdafactorEntry& e = elements.e;
  const AdafactorTile tile(e, place);
  float by_row[kTileRows] = {}, by_column[kLaneColumns] = {}, weight = 0.0f;
#pragma unroll
  for (int r = 0; r < kTileRows; ++r) {
    const int count = r < tile.rows ? tile.count : 0;
    float g[kLaneColumns], p[kLaneColumns] = {};
    elements.gradient(g, tile.at(e, r), count);
    if (elements.a.scale_parameter) elements.parameter(p, tile.at(e, r), count);
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      by_row[r] += g[k] * g[k];
      by_column[k] += g[k] * g[k];
      weight += p[k] * p[k];
    }
  }
  store_some(e.column_parts + (tile.batch * e.row_tiles + tile.row_tile) * e.t.cols + tile.column,
             by_column, tile.count, e.t.cols % kLaneColumns == 0);
  constexpr int kWarps = kAdafactorThreads / dev::kWarpSize;
  dev::sts(by_warp + threadIdx.x, sums_by_lane(by_row));
  __syncthreads();
  const int r = threadIdx.x;
  if (r < tile.rows) {
    float sum = 0.0f;
    for (int w = 0; w < kWarps; ++w) sum += dev::lds(by_warp + (w * dev::kWarpSize + r));
    dev::stg(e.row_parts + tile.row(e, r) * e.slabs + tile.slab, sum);
  }
  return weight;
}

// V and u^2 of a part of a vector, and its p^2.
template <class P, class G>
PYLLM_DEVICE void adafactor_vector_sums(const AdafactorElements<P, G>& elements, int64_t place,
                                        float& weight, float& update) {
  const AdafactorEntry& e = elements.e;
  const int64_t begin = place * kTileElements;
  for (int i = threadIdx.x * kLaneColumns; i < kTileElements; i += kTileColumns) {
    const int count = up_to(e.t.cols - begin - i, kLaneColumns);
    if (count == 0) break;
    float g[kLaneColumns], p[kLaneColumns] = {}, square[kLaneColumns];
    elements.gradient(g, begin + i, count);
    if (elements.a.scale_parameter) elements.parameter(p, begin + i, count);
    load_some(square, e.t.square + begin + i, count, e.aligned != 0);
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      if (k >= count) break;
      square[k] = elements.averaged(square[k], g[k] * g[k]);
      const float u = g[k] * (1.0f / dev::sqrt(square[k]));
      weight += p[k] * p[k];
      update += u * u;
    }
    store_some(e.t.square + begin + i, square, count, e.aligned != 0);
  }
}

template <class P, class G>
__global__ void __launch_bounds__(kAdafactorThreads, 2) adafactor_sums(AdafactorBatch a) {
  PYLLM_SHARED(double, scratch, kAdafactorThreads / dev::kWarpSize);
  PYLLM_SHARED(float, by_warp, kAdafactorThreads);
  const AdafactorBlock block(a);
  const AdafactorEntry& e = a.entries[block.which];
  const AdafactorElements<P, G> elements(a, e);
  float weight = 0.0f, update = 0.0f;
  if (e.t.square == nullptr) {
    weight = adafactor_tile_sums(elements, block.place, by_warp);
  } else {
    adafactor_vector_sums(elements, block.place, weight, update);
  }
  const double weights = dev::block_reduce<dev::Sum, kAdafactorThreads>(double{weight}, scratch);
  const double updates = dev::block_reduce<dev::Sum, kAdafactorThreads>(double{update}, scratch);
  if (threadIdx.x > 0) return;
  dev::stg(e.sums + block.place, weights);
  dev::stg(e.sums + e.tiles + block.place, updates);
}

// The states of factored tensors, from the sums of their tiles.
template <class P, class G>
__global__ void __launch_bounds__(kAdafactorThreads) adafactor_states(AdafactorBatch a) {
  const AdafactorBlock block(a);
  const AdafactorEntry& e = a.entries[block.which];
  const AdafactorElements<P, G> elements(a, e);
  const int64_t i = block.place * kAdafactorThreads + threadIdx.x;
  const int64_t all_rows = e.t.batches * e.t.rows, all_columns = e.t.batches * e.t.cols;
  double sum = 0.0;
  if (i < all_rows) {
    for (int64_t s = 0; s < e.slabs; ++s) sum += dev::ldg(e.row_parts + i * e.slabs + s);
    const float mean = static_cast<float>(sum / static_cast<double>(e.t.cols));
    dev::stg(e.t.row + i, elements.averaged(dev::ldg(e.t.row + i), mean));
  } else if (i < all_rows + all_columns) {
    const int64_t c = i - all_rows, batch = c / e.t.cols, column = c % e.t.cols;
    const float* parts = e.column_parts + batch * e.row_tiles * e.t.cols + column;
#pragma unroll 4
    for (int64_t tile = 0; tile < e.row_tiles; ++tile) sum += dev::ldg(parts + tile * e.t.cols);
    const float mean = static_cast<float>(sum / static_cast<double>(e.t.rows));
    dev::stg(e.t.col + c, elements.averaged(dev::ldg(e.t.col + c), mean));
  }
}

// A block a matrix.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) adafactor_means(AdafactorBatch a) {
  PYLLM_SHARED(double, scratch, kThreads / dev::kWarpSize);
  const AdafactorBlock block(a);
  const AdafactorEntry& e = a.entries[block.which];
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < e.t.rows; i += kThreads) {
    sum += dev::ldg(e.t.row + block.place * e.t.rows + i);
  }
  sum = dev::block_reduce<dev::Sum, kThreads>(sum, scratch);
  if (threadIdx.x > 0) return;
  dev::stg(e.means + block.place, static_cast<float>(sum / static_cast<double>(e.t.rows)));
}

// visit(u, at, count) for a lane's updates of a tile, four at a time.
template <class P, class G, class Visit>
PYLLM_DEVICE void for_updates(const AdafactorElements<P, G>& elements, int64_t place,
                              Visit&& visit) {
  const AdafactorEntry& e = elements.e;
  float u[kLaneColumns];
  if (e.t.square != nullptr) {
    const int64_t begin = place * kTileElements;
    for (int i = threadIdx.x * kLaneColumns; i < kTileElements; i += kTileColumns) {
      const int count = up_to(e.t.cols - begin - i, kLaneColumns);
      if (count == 0) break;
      float square[kLaneColumns];
      elements.gradient(u, begin + i, count);
      load_some(square, e.t.square + begin + i, count, e.aligned != 0);
#pragma unroll
      for (int k = 0; k < kLaneColumns; ++k) {
        u[k] = k < count ? u[k] * (1.0f / dev::sqrt(square[k])) : 0.0f;
      }
      visit(u, begin + i, count);
    }
    return;
  }
  const AdafactorTile tile(e, place);
  if (tile.count == 0) return;
  float factor[kLaneColumns];
  load_some(factor, e.t.col + tile.batch * e.t.cols + tile.column, tile.count,
            e.t.cols % kLaneColumns == 0);
#pragma unroll
  for (int k = 0; k < kLaneColumns; ++k) {
    factor[k] = k < tile.count ? 1.0f / dev::sqrt(factor[k]) : 0.0f;
  }
  const float mean = dev::ldg(e.means + tile.batch);
#pragma unroll 4
  for (int r = 0; r < tile.rows; ++r) {
    const float of_row = 1.0f / dev::sqrt(dev::ldg(e.t.row + tile.row(e, r)) / mean);
    elements.gradient(u, tile.at(e, r), tile.count);
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) u[k] = u[k] * of_row * factor[k];
    visit(u, tile.at(e, r), tile.count);
  }
}

// Of factored tensors; vectors have theirs from adafactor_sums.
template <class P, class G>
__global__ void __launch_bounds__(kAdafactorThreads, 2) adafactor_updates(AdafactorBatch a) {
  PYLLM_SHARED(double, scratch, kAdafactorThreads / dev::kWarpSize);
  const AdafactorBlock block(a);
  const AdafactorEntry& e = a.entries[block.which];
  const AdafactorElements<P, G> elements(a, e);
  float sum = 0.0f;
  for_updates(elements, block.place, [&](const float (&u)[kLaneColumns], int64_t, int) {
#pragma unroll
    for (const float value : u) sum += value * value;
  });
  const double total = dev::block_reduce<dev::Sum, kAdafactorThreads>(double{sum}, scratch);
  if (threadIdx.x == 0) dev::stg(e.sums + e.tiles + block.place, total);
}

// The step size of u, and what p loses: a block a tensor.
template <int kThreads>
__global__ void __launch_bounds__(kThreads) adafactor_rates(AdafactorBatch a) {
  PYLLM_SHARED(double, scratch, kThreads / dev::kWarpSize);
  const AdafactorEntry& e = a.entries[blockIdx.x];
  double roots[2];
  const double n = static_cast<double>(e.t.batches * e.t.rows * e.t.cols);
  for (int which = 0; which < 2; ++which) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < e.tiles; i += kThreads) {
      sum += dev::ldg(e.sums + which * e.tiles + i);
    }
    roots[which] = dev::sqrt(dev::block_reduce<dev::Sum, kThreads>(sum, scratch) / n);
  }
  if (threadIdx.x > 0) return;
  const double rms = roots[0] > a.least_rms || roots[0] != roots[0] ? roots[0] : a.least_rms;
  const double lr = a.scale_parameter ? a.lr * rms : a.lr;
  const double clip = roots[1] / a.clip_threshold;
  dev::stg(e.rates, static_cast<float>(clip > 1.0 || clip != clip ? lr / clip : lr));
  dev::stg(e.rates + 1, static_cast<float>(lr * a.decay));
}

template <class P, class G>
__global__ void __launch_bounds__(kAdafactorThreads, 2) adafactor_apply(AdafactorBatch a) {
  const AdafactorBlock block(a);
  const AdafactorElements<P, G> elements(a, a.entries[block.which]);
  for_updates(elements, block.place, [&](const float (&u)[kLaneColumns], int64_t at, int count) {
    elements.apply(u, at, count);
  });
}

}  // namespace pyllm::cuda
