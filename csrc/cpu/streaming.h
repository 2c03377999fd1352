// Stores past the caches.
//
// A plain store reads the line it writes and then keeps it: a copy moves three bytes for two. An
// output that outgrows the caches is gone from them before anybody reads it, so its kernels write
// whole lines straight to memory instead. A kernel is given one of two writers,
//
//   with_writer(streams(a.y), [&](auto put) {
//     write_vectors(put, y, n, [&](int64_t i, int count) { return load(x + i, count) * scale; });
//   });
//
// and reads the same for both.
#pragma once

#include <span>

#include "core/array.h"
#include "core/cache_size.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

struct Cached {
  template <class T>
  static int64_t head(const T*) {
    return 0;
  }
  template <class T>
  void operator()(T* p, Vec<compute_t<T>> a, int count) const {
    store(p, a, count);
  }
};

struct Streamed {
  // Elements before the first whole vector that may be streamed.
  template <class T>
  static int64_t head(const T* p) {
    constexpr auto width = Vec<compute_t<T>>::lanes * sizeof(T);
    return static_cast<int64_t>(-reinterpret_cast<uintptr_t>(p) % width / sizeof(T));
  }
  template <class T>
  void operator()(T* p, Vec<compute_t<T>> a, int count) const {
    count == Vec<compute_t<T>>::lanes ? store_past_caches(p, a) : store_part(p, a, count);
  }
};

// Whether the arrays that a kernel writes, which hold nothing it reads, go past the caches. From
// half the last cache on, what was read on the way has pushed the first lines out; where a store is
// half a line or less, streaming has to win more to be worth its stalls.
inline bool streams(std::span<const Array> written) {
  int64_t bytes = 0;
  for (const Array& a : written) {
    if (a.ndim == 0 || a.strides[a.ndim - 1] != 1) return false;
    if (reinterpret_cast<uintptr_t>(a.data) % size_of(a.dtype) != 0) return false;
    bytes += a.size() * static_cast<int64_t>(size_of(a.dtype));
  }
  return bytes > (kVectorBytes == 64 ? last_level_cache() / 2 : last_level_cache());
}
inline bool streams(const Array& written) {
  return streams(std::span(&written, 1));
}

// Rows that start on cache lines: streaming them cuts them into the same vectors as plain stores,
// for kernels whose compiled code may round a partial vector differently.
inline bool starts_on_lines(const Array& a) {
  const auto bytes = static_cast<int64_t>(size_of(a.dtype));
  if (reinterpret_cast<uintptr_t>(a.data) % 64 != 0) return false;
  for (int i = 0; i + 1 < a.ndim; ++i) {
    if (a.shape[i] > 1 && a.strides[i] * bytes % 64 != 0) return false;
  }
  return true;
}

// Asks for the memory a kernel reads some vectors later: the arithmetic of a vector is long enough
// to keep the hardware from running ahead on its own.
template <class T>
void fetch_ahead(const T* p) {
  __builtin_prefetch(reinterpret_cast<const char*>(p) + 4096);
}

template <class F>
void with_writer(bool streamed, F&& f) {
  if (!streamed) return f(Cached{});
  f(Streamed{});
  store_fence();
}

// y[i] = value(i, count) for each vector of [0, n).
template <class Put, class T, class F>
void write_vectors(Put put, T* y, int64_t n, F&& value) {
  constexpr int64_t L = Vec<compute_t<T>>::lanes;
  int64_t i = put.head(y);
  if (i > n) i = n;
  if (i > 0) put(y, value(int64_t{0}, static_cast<int>(i)), static_cast<int>(i));
  for (; i + L <= n; i += L) put(y + i, value(i, static_cast<int>(L)), static_cast<int>(L));
  if (i < n) put(y + i, value(i, static_cast<int>(n - i)), static_cast<int>(n - i));
}

}  // namespace pyllm::PYLLM_ISA
