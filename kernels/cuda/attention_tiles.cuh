// Tiles of rows on their way between global and shared memory.
//
// A row of a shared tile is 16 bytes longer than D elements, an odd number of 16-byte units, so
// that the 8 rows that ldmatrix or a quarter of a warp reads lie in different banks. Columns from
// dim to D, rows past the last and keys that are padded away are zeros, whatever memory holds
// there.
#pragma once

#include "attention_head.cuh"

namespace pyllm::cuda {

template <class T, int D>
constexpr int kTilePitch = D + dev::kVecWidth<T>;

// The rows of one head.
template <class T>
struct Rows {
  T* data;
  int64_t stride;
  int count, dim;
  bool vectors;                       // accesses of 16 bytes are possible
  const uint8_t* key_mask = nullptr;  // of these rows
  int64_t key_mask_stride = 0;

  static constexpr bool kMayMiss = false;

  PYLLM_DEVICE T* row(int i) const { return data + i * stride; }
  PYLLM_DEVICE bool keeps(int row) const {
    return key_mask == nullptr || dev::ldg(key_mask + row * key_mask_stride) != 0;
  }
};

template <class T>
PYLLM_DEVICE Rows<T> head_rows(T* data, const int64_t (&strides)[3], int64_t batch, int64_t begin,
                               int64_t head, int count, int64_t dim) {
  constexpr int kVector = dev::kVecWidth<T>;
  const bool vectors = reinterpret_cast<uintptr_t>(data) % 16 == 0 && dim % kVector == 0 &&
                       strides[0] % kVector == 0 && strides[1] % kVector == 0 &&
                       strides[2] % kVector == 0;
  return {data + batch * strides[0] + begin * strides[1] + head * strides[2], strides[1], count,
          static_cast<int>(dim), vectors};
}
template <class T>
PYLLM_DEVICE Rows<const T> key_rows(const void* data, const int64_t (&strides)[3],
                                    const Attention& a, const AttentionHead& h, int64_t dim) {
  auto rows =
      head_rows(static_cast<const T*>(data), strides, h.batch, h.k_begin, h.kv_head, h.keys, dim);
  if (a.key_mask) {
    rows.key_mask =
        a.key_mask + h.batch * a.key_mask_strides[0] + h.k_begin * a.key_mask_strides[1];
    rows.key_mask_stride = a.key_mask_strides[1];
  }
  return rows;
}
template <class T>
PYLLM_DEVICE Rows<T> query_rows(T* data, const int64_t (&strides)[3], const AttentionHead& h,
                                int64_t dim) {
  return head_rows(data, strides, h.batch, h.q_begin, h.head, h.queries, dim);
}

// Starts the copy of rows [first, first + kRows) of `from`, which is Rows or gives its rows
// likewise, by a block of kThreads. A row that should be there and is missing is all NaN.
template <class T, int D, int kRows, int kThreads, class Source>
PYLLM_DEVICE void fetch_tile(const dev::Shared<T>& to, const Source& from, int first) {
  constexpr int kVector = dev::kVecWidth<T>, kVectors = D / kVector;
  for (int i = threadIdx.x; i < kRows * kVectors; i += kThreads) {
    const int row = i / kVectors, column = i % kVectors * kVector;
    bool valid = first + row < from.count && column < from.dim && from.keeps(first + row);
    const auto target = to + (row * kTilePitch<T, D> + column);
    const T* source = valid ? from.row(first + row) : from.data;
    float filler = 0.0f;
    if constexpr (Source::kMayMiss) {
      if (source == nullptr) {
        valid = false;
        filler = NAN;
      }
    }
    if (from.vectors && filler == 0.0f) {
      dev::cp_async16(target, valid ? source + column : from.data, valid);
    } else {
      dev::Vec<T, kVector> v;
      for (int k = 0; k < kVector; ++k) {
        const bool held = valid && column + k < from.dim;
        v.v[k] = held ? dev::ldg(source + column + k) : dev::from_float<T>(filler);
      }
      dev::sts(target.template as<dev::Vec<T, kVector>>(), v);
    }
  }
}

// Writes a warp's 16 rows of accumulators, columns [column, column + C) of rows from `first` on,
// times factors[0] or, for the lower eight rows, factors[1]. They go through the warp's part of a
// shared tile, so that rows leave in accesses of 16 bytes.
template <class T, int D, int C>
PYLLM_DEVICE void write_rows(const Rows<T>& to, int first, int column, const float (&x)[C / 8][4],
                             float upper_factor, float lower_factor, const dev::Shared<T>& tile) {
  constexpr int kVector = dev::kVecWidth<T>, kPitch = kTilePitch<T, D>;
  const int lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4 * 2;
#pragma unroll
  for (int n = 0; n < C / 8; ++n) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float factor = half ? lower_factor : upper_factor;
      const auto at = tile + ((group + half * 8) * kPitch + column + n * 8 + pair);
      const float low = x[n][2 * half] * factor, high = x[n][2 * half + 1] * factor;
      if constexpr (sizeof(T) == 2) {
        dev::sts(at.template as<uint32_t>(), dev::pack2<T>(low, high));
      } else {
        dev::sts(at.template as<dev::Vec<T, 2>>(), dev::Vec<T, 2>{{low, high}});
      }
    }
  }
  __syncwarp();
  for (int i = lane; i < 16 * C / kVector; i += 32) {
    const int row = i / (C / kVector), c = column + i % (C / kVector) * kVector;
    if (first + row >= to.count || c >= to.dim) continue;
    using Vector = dev::Vec<T, kVector>;
    const Vector v = dev::lds((tile + (row * kPitch + c)).template as<Vector>());
    T* target = to.data + (first + row) * to.stride + c;
    if (to.vectors) {
      dev::stg(reinterpret_cast<Vector*>(target), v);
    } else {
      for (int k = 0; k < kVector && c + k < to.dim; ++k) dev::stg(target + k, v.v[k]);
    }
  }
}

}  // namespace pyllm::cuda
