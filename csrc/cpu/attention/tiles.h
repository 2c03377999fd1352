// Copies between the caller's strided arrays and the tiles that the products read: widened to the
// compute type, padded to whole vectors with zeros, row by row or transposed.
#pragma once

#include <algorithm>

#include "core/memory.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

// Scratch memory of a task, from the caching allocator: parts are handed out one after the other,
// each 64-byte aligned and not initialised.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : block_(static_cast<char*>(allocate(bytes))) {}
  ~Scratch() { deallocate(block_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  template <class C>
  C* take(int64_t count) {
    C* part = reinterpret_cast<C*>(block_ + used_);
    used_ += size_of_part<C>(count);
    return part;
  }
  template <class C>
  static size_t size_of_part(int64_t count) {
    return (static_cast<size_t>(count) * sizeof(C) + 63) / 64 * 64;
  }

 private:
  char* block_;
  size_t used_ = 0;
};

template <class C>
constexpr int64_t padded(int64_t n) {
  return (n + Vec<C>::lanes - 1) / Vec<C>::lanes * Vec<C>::lanes;
}

// dst[r][0..padded(d)) = src row r * scale, zeros behind d and in rows [n, n_padded).
template <class T, class C>
void copy_rows(const T* src, int64_t stride, int64_t n, int64_t n_padded, int64_t d, C* dst,
               C scale = C(1)) {
  constexpr int L = Vec<C>::lanes;
  const int64_t ld = padded<C>(d);
  for (int64_t r = 0; r < n; ++r, src += stride, dst += ld) {
    for (int64_t c = 0; c < d; c += L) store(dst + c, load(src + c, lanes_left<C>(d - c)) * scale);
  }
  std::fill(dst, dst + (n_padded - n) * ld, C(0));
}

namespace detail {
typedef float Quad __attribute__((vector_size(16)));

// dst[c][r] = src[r][c] * scale for 4 x 4 floats.
inline void transpose_quad(const float* src, int64_t src_stride, float* dst, int64_t dst_stride,
                           float scale = 1) {
  typedef int32_t Index __attribute__((vector_size(16)));
  Quad a, b, c, d;
  std::memcpy(&a, src, 16);
  std::memcpy(&b, src + src_stride, 16);
  std::memcpy(&c, src + 2 * src_stride, 16);
  std::memcpy(&d, src + 3 * src_stride, 16);
#if defined(__clang__)
  const Quad ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Quad ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Quad cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Quad cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
#else
  const Quad ab0 = __builtin_shuffle(a, b, Index{0, 4, 1, 5});
  const Quad ab1 = __builtin_shuffle(a, b, Index{2, 6, 3, 7});
  const Quad cd0 = __builtin_shuffle(c, d, Index{0, 4, 1, 5});
  const Quad cd1 = __builtin_shuffle(c, d, Index{2, 6, 3, 7});
  a = __builtin_shuffle(ab0, cd0, Index{0, 1, 4, 5});
  b = __builtin_shuffle(ab0, cd0, Index{2, 3, 6, 7});
  c = __builtin_shuffle(ab1, cd1, Index{0, 1, 4, 5});
  d = __builtin_shuffle(ab1, cd1, Index{2, 3, 6, 7});
#endif
  a *= scale;
  b *= scale;
  c *= scale;
  d *= scale;
  std::memcpy(dst, &a, 16);
  std::memcpy(dst + dst_stride, &b, 16);
  std::memcpy(dst + 2 * dst_stride, &c, 16);
  std::memcpy(dst + 3 * dst_stride, &d, 16);
}
}  // namespace detail

// dst[c][r] = src[r][c] * scale, n x d.
template <class C>
void transpose(const C* src, int64_t src_stride, int64_t n, int64_t d, C* dst, int64_t dst_stride,
               C scale = C(1)) {
  int64_t r = 0;
  if constexpr (sizeof(C) == 4) {
    for (; r + 4 <= n; r += 4) {
      int64_t c = 0;
      for (; c + 4 <= d; c += 4) {
        detail::transpose_quad(src + r * src_stride + c, src_stride, dst + c * dst_stride + r,
                               dst_stride, scale);
      }
      for (; c < d; ++c) {
        for (int64_t i = r; i < r + 4; ++i) {
          dst[c * dst_stride + i] = src[i * src_stride + c] * scale;
        }
      }
    }
  }
  for (; r < n; ++r) {
    for (int64_t c = 0; c < d; ++c) dst[c * dst_stride + r] = src[r * src_stride + c] * scale;
  }
}

constexpr int kStripRows = 4, kStripColumns = 64;

// The panel [d][width] of n rows of src: their transpose times scale, zeros in lanes [n, width).
template <class T, class C>
void copy_panel(const T* src, int64_t stride, int64_t n, int64_t d, int64_t width, C* dst,
                C scale) {
  if (n < width) std::fill(dst, dst + d * width, C(0));
  if constexpr (std::is_same_v<T, C>) {
    transpose(src, stride, n, d, dst, width, scale);
  } else {
    C strip[kStripRows][kStripColumns];  // widened first
    for (int64_t r = 0; r < n; r += kStripRows) {
      const int64_t rows = std::min<int64_t>(kStripRows, n - r);
      for (int64_t c = 0; c < d; c += kStripColumns) {
        const int64_t columns = std::min<int64_t>(kStripColumns, d - c);
        for (int64_t i = 0; i < rows; ++i) {
          const T* from = src + (r + i) * stride + c;
          for (int64_t x = 0; x < columns; x += Vec<C>::lanes) {
            store(strip[i] + x, load(from + x, lanes_left<C>(columns - x)));
          }
        }
        transpose(strip[0], kStripColumns, rows, columns, dst + c * width + r, width, scale);
      }
    }
  }
}

// dst row r = src row r * scale, without the padding.
template <class T, class C>
void write_rows(const C* src, int64_t ld, int64_t n, int64_t d, C scale, T* dst, int64_t stride) {
  constexpr int L = Vec<C>::lanes;
  for (int64_t r = 0; r < n; ++r, src += ld, dst += stride) {
    for (int64_t c = 0; c < d; c += L) store(dst + c, load(src + c) * scale, lanes_left<C>(d - c));
  }
}

// Row r of dst = column r of the panel [d][width], times factors[r], for n rows.
template <class T, class C>
void write_panel(const C* panel, int64_t width, int64_t n, int64_t d, const C* factors, T* dst,
                 int64_t stride) {
  constexpr int L = Vec<C>::lanes;
  C strip[kStripRows][kStripColumns];
  for (int64_t r = 0; r < n; r += kStripRows) {
    const int64_t rows = std::min<int64_t>(kStripRows, n - r);
    for (int64_t c = 0; c < d; c += kStripColumns) {
      const int64_t columns = std::min<int64_t>(kStripColumns, d - c);
      transpose(panel + c * width + r, width, columns, rows, strip[0], kStripColumns);
      for (int64_t i = 0; i < rows; ++i) {
        T* to = dst + (r + i) * stride + c;
        for (int64_t x = 0; x < columns; x += L) {
          store(to + x, load(strip[i] + x) * factors[r + i], lanes_left<C>(columns - x));
        }
      }
    }
  }
}

}  // namespace pyllm::PYLLM_ISA
