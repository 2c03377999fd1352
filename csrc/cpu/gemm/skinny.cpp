#include "cpu/gemm/skinny.h"

#include <algorithm>

#include "core/parallel.h"
#include "core/scratch.h"
#include "cpu/gemm/tile.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kTaskColumns = 32, kRowsAtOnce = 8;

// Columns of b in flight: as many as leave registers for the sums of all rows.
constexpr int columns_in_flight(int rows) {
  const int registers = kVectorBytes == 64 ? 32 : 16;
  return rows * 4 + 4 < registers ? 4 : rows * 2 + 2 < registers ? 2 : 1;
}

// c (rows x columns, row after row `stride` apart) = dot products of rows of a with columns of b.
template <int rows, int columns, class T>
void dots(const float* a, const T* b, int64_t b_stride, int64_t depth, float* c, int64_t stride) {
  using V = Vec<float>;
  V total[rows][columns];
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) total[r][j] = V(0.0f);
  }
  int64_t k = 0;
  for (; k + V::lanes <= depth; k += V::lanes) {
    V weight[columns];
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      weight[j] = load(b + j * b_stride + k);
      if (rows <= 4) __builtin_prefetch(b + (columns + j) * b_stride + k);  // the next columns
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const V x = load(a + r * depth + k);
#pragma GCC unroll 4
      for (int j = 0; j < columns; ++j) total[r][j] += x * weight[j];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int j = 0; j < columns; ++j) {
      float value = sum(total[r][j]);
      for (int64_t i = k; i < depth; ++i) value += a[r * depth + i] * widen(b[j * b_stride + i]);
      c[r * stride + j] = value;
    }
  }
}

template <int rows, class T>
void all_columns(const float* a, const Matrix& b, float* c) {
  constexpr int flight = columns_in_flight(rows);
  const T* columns = static_cast<const T*>(b.data);
  const int64_t stride = b.column_stride, depth = b.rows;
  int64_t j = 0;
  for (; j + flight <= b.columns; j += flight) {
    dots<rows, flight>(a, columns + j * stride, stride, depth, c + j, b.columns);
  }
  for (; j < b.columns; ++j)
    dots<rows, 1>(a, columns + j * stride, stride, depth, c + j, b.columns);
}

template <class T>
void all_rows(int64_t rows, const float* a, const Matrix& b, float* c) {
  switch (rows) {
    case 1:
      return all_columns<1, T>(a, b, c);
    case 2:
      return all_columns<2, T>(a, b, c);
    case 3:
      return all_columns<3, T>(a, b, c);
    case 4:
      return all_columns<4, T>(a, b, c);
    case 5:
      return all_columns<5, T>(a, b, c);
    case 6:
      return all_columns<6, T>(a, b, c);
    case 7:
      return all_columns<7, T>(a, b, c);
    default:
      return all_columns<8, T>(a, b, c);
  }
}

}  // namespace

void skinny_product(const Product& p) {
  const int64_t rows = p.c.rows, depth = p.a.columns;
  const Scratch<float> a(rows * depth);
  load_tile(p.a, a.data());
  const int64_t tasks = (p.c.columns + kTaskColumns - 1) / kTaskColumns;
  const int64_t grain = 1 + (int64_t{1} << 14) / (depth * kTaskColumns);
  parallel_for(tasks, grain, [&](int64_t begin, int64_t end) {
    float tile[kSkinnyRows * kTaskColumns];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t column = task * kTaskColumns;
      const int64_t columns = std::min(kTaskColumns, p.c.columns - column);
      const Matrix b = p.b.block(0, column, depth, columns);
      with_storage<float>(p.b.dtype, [&](auto tag) {
        for (int64_t r = 0; r < rows; r += kRowsAtOnce) {
          all_rows<typename decltype(tag)::type>(std::min(kRowsAtOnce, rows - r),
                                                 a.data() + r * depth, b, tile + r * columns);
        }
      });
      if (p.epilogue) (*p.epilogue)({0, column, rows, columns, tile, columns});
      store_tile(tile, columns, p.c.block(0, column, rows, columns), p.accumulate);
    }
  });
}

}  // namespace pyllm::PYLLM_ISA
