// The SIMD vocabulary of the CPU kernels, compiled once per instruction set.
//
// Vec<float> is as wide as the instruction set (4, 8 or 16 lanes), Vec<double> half that. Kernels
// written with it read like their scalar form:
//
//   for (int64_t i = 0; i < n; i += Vec<C>::lanes) {
//     const int count = lanes_left<C>(n - i);
//     store(y + i, load(x + i, count) * scale, count);
//   }
//
// load and store convert between storage (float, double, bfloat16, float16) and the compute type;
// with a count below Vec::lanes they touch only that many elements (the rest load as `fill`).
// Built on the vector extensions of GCC and Clang; intrinsics only where those have no word for it.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/dtype.h"

namespace pyllm::PYLLM_ISA {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// GCC drops vector_size from a typedef that depends on a template parameter, hence the table.
template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float Native __attribute__((vector_size(kVectorBytes)));
  typedef int32_t Mask __attribute__((vector_size(kVectorBytes)));
};
template <>
struct Lanes<double> {
  typedef double Native __attribute__((vector_size(kVectorBytes)));
  typedef int64_t Mask __attribute__((vector_size(kVectorBytes)));
};

template <class T>
struct Vec {
  static constexpr int lanes = kVectorBytes / sizeof(T);
  using Native = typename Lanes<T>::Native;
  using Mask = typename Lanes<T>::Mask;  // all bits set where true

  Native v;

  Vec() = default;
  Vec(Native native) : v(native) {}        // NOLINT(google-explicit-constructor)
  Vec(T scalar) : v(scalar - Native{}) {}  // NOLINT(google-explicit-constructor)

  T operator[](int i) const { return v[i]; }

  friend Vec operator+(Vec a, Vec b) { return a.v + b.v; }
  friend Vec operator-(Vec a, Vec b) { return a.v - b.v; }
  friend Vec operator*(Vec a, Vec b) { return a.v * b.v; }
  friend Vec operator/(Vec a, Vec b) { return a.v / b.v; }
  friend Vec operator-(Vec a) { return -a.v; }
  Vec& operator+=(Vec b) { return v += b.v, *this; }
  Vec& operator-=(Vec b) { return v -= b.v, *this; }
  Vec& operator*=(Vec b) { return v *= b.v, *this; }
  friend Mask operator<(Vec a, Vec b) { return a.v < b.v; }
  friend Mask operator<=(Vec a, Vec b) { return a.v <= b.v; }
  friend Mask operator>(Vec a, Vec b) { return a.v > b.v; }
  friend Mask operator>=(Vec a, Vec b) { return a.v >= b.v; }
  friend Mask operator==(Vec a, Vec b) { return a.v == b.v; }
  friend Mask operator!=(Vec a, Vec b) { return a.v != b.v; }
};

template <class T>
Vec<T> select(typename Vec<T>::Mask mask, Vec<T> yes, Vec<T> no) {
  return mask ? yes.v : no.v;
}

// NaN in a is kept (the comparison is false), NaN in b is not: put the data first. That is what the
// machine's instruction does with its operands in the other order; compilers miss it.
template <class T>
Vec<T> max(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return Vec<T>(_mm512_max_ps(b.v, a.v));
  if constexpr (sizeof(T) == 8) return Vec<T>(_mm512_max_pd(b.v, a.v));
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return Vec<T>(_mm256_max_ps(b.v, a.v));
  if constexpr (sizeof(T) == 8) return Vec<T>(_mm256_max_pd(b.v, a.v));
#else
  return select<T>(a < b, b, a);
#endif
}
template <class T>
Vec<T> min(Vec<T> a, Vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return Vec<T>(_mm512_min_ps(b.v, a.v));
  if constexpr (sizeof(T) == 8) return Vec<T>(_mm512_min_pd(b.v, a.v));
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return Vec<T>(_mm256_min_ps(b.v, a.v));
  if constexpr (sizeof(T) == 8) return Vec<T>(_mm256_min_pd(b.v, a.v));
#else
  return select<T>(a > b, b, a);
#endif
}
template <class T>
Vec<T> abs(Vec<T> a) {
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  const auto bits = (typename Vec<T>::Mask)a.v & std::numeric_limits<Bits>::max();
  return (typename Vec<T>::Native)bits;
}

template <class T>
Vec<T> sqrt(Vec<T> a) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return Vec<T>(_mm512_sqrt_ps(a.v));
  if constexpr (sizeof(T) == 8) return Vec<T>(_mm512_sqrt_pd(a.v));
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return Vec<T>(_mm256_sqrt_ps(a.v));
  if constexpr (sizeof(T) == 8) return Vec<T>(_mm256_sqrt_pd(a.v));
#else
  for (int i = 0; i < Vec<T>::lanes; ++i) a.v[i] = std::sqrt(a.v[i]);
  return a;
#endif
}

// Products of the low 32 bits of 64-bit lanes with a 32-bit factor; their high 32 bits are ignored.
typedef uint64_t Wide __attribute__((vector_size(kVectorBytes)));
inline Wide multiply_low_halves(Wide a, uint32_t factor) {
#if defined(__AVX512F__)
  return (Wide)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(factor));
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(factor));
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(factor));
#else
  return (a & 0xFFFFFFFFu) * uint64_t{factor};
#endif
}

// The low (high) 64-bit lanes of each 16 bytes of a and b: a0 b0 a2 b2 ... (a1 b1 a3 b3 ...).
inline Wide interleave_low(Wide a, Wide b) {
#if defined(__AVX512F__)
  return (Wide)_mm512_unpacklo_epi64((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Wide)_mm256_unpacklo_epi64((__m256i)a, (__m256i)b);
#else
  return Wide{a[0], b[0]};
#endif
}
inline Wide interleave_high(Wide a, Wide b) {
#if defined(__AVX512F__)
  return (Wide)_mm512_unpackhi_epi64((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Wide)_mm256_unpackhi_epi64((__m256i)a, (__m256i)b);
#else
  return Wide{a[1], b[1]};
#endif
}

// Halves are folded onto each other, so the order of the sum is fixed for a given width.
template <class T, class Op>
T reduce(Vec<T> a, Op op) {
  T lane[Vec<T>::lanes];
  std::memcpy(lane, &a.v, sizeof lane);
  for (int width = Vec<T>::lanes / 2; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) lane[i] = op(lane[i], lane[i + width]);
  }
  return lane[0];
}
template <class T>
T sum(Vec<T> a) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) return _mm512_reduce_add_ps(a.v);  // folds as reduce does
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
#endif
  return reduce(a, [](T x, T y) { return x + y; });
}
// NaN if any lane is. Lane by lane the comparisons would be branches that no one can predict.
template <class T>
T max_of(Vec<T> a) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    if (_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)) return std::numeric_limits<T>::quiet_NaN();
    return _mm512_reduce_max_ps(a.v);
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    if (_mm256_movemask_ps(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q))) {
      return std::numeric_limits<T>::quiet_NaN();
    }
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }
#endif
  return reduce(a, [](T x, T y) { return x > y || x != x ? x : y; });
}

// table[i & 7] for each lane's i.
inline Vec<float> lookup(const float (&table)[8], Vec<float>::Mask i) {
#if defined(__AVX512F__)
  const __m512 twice =
      _mm512_castpd_ps(_mm512_broadcast_f64x4(_mm256_castps_pd(_mm256_loadu_ps(table))));
  return _mm512_permutexvar_ps((__m512i)i, twice);
#elif defined(__AVX2__)
  return _mm256_permutevar8x32_ps(_mm256_loadu_ps(table), (__m256i)i);
#else
  Vec<float> r;
  for (int lane = 0; lane < Vec<float>::lanes; ++lane) r.v[lane] = table[i[lane] & 7];
  return r;
#endif
}

// ---- storage ----

inline float to_float(bfloat16 x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

inline bfloat16 to_bfloat16(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  if (f != f) return {static_cast<uint16_t>((bits >> 16) | 0x40)};
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

inline float to_float(float16 x) {
  const uint32_t sign = uint32_t{x.bits & 0x8000u} << 16;
  const uint32_t magnitude = x.bits & 0x7FFFu;
  float f;
  if (magnitude >= 0x7C00) {  // inf, NaN
    const uint32_t bits = sign | 0x7F800000u | (magnitude & 0x3FFu) << 13;
    std::memcpy(&f, &bits, 4);
    return f;
  }
  // Read as a float with the exponent 112 too small, then scaled: exact, subnormals included.
  const uint32_t bits = magnitude << 13;
  std::memcpy(&f, &bits, 4);
  f *= 0x1p112f;
  uint32_t out;
  std::memcpy(&out, &f, 4);
  out |= sign;
  std::memcpy(&f, &out, 4);
  return f;
}

inline float16 to_float16(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  bits &= 0x7FFFFFFFu;
  if (bits > 0x7F800000u) return {static_cast<uint16_t>(sign | 0x7E00u | (bits >> 13 & 0x3FFu))};
  if (bits >= 0x477FF000u) return {static_cast<uint16_t>(sign | 0x7C00u)};  // rounds to inf
  if (bits < 0x38800000u) {  // subnormal: let a float addition do the rounding
    float magnitude;
    std::memcpy(&magnitude, &bits, 4);
    magnitude += 0.5f;
    uint32_t rounded;
    std::memcpy(&rounded, &magnitude, 4);
    return {static_cast<uint16_t>(sign | (rounded - 0x3F000000u))};
  }
  bits += 0xFFFu + (bits >> 13 & 1u);
  return {static_cast<uint16_t>(sign | (bits - 0x38000000u) >> 13)};
}

inline float widen(float x) {
  return x;
}
inline double widen(double x) {
  return x;
}
inline float widen(bfloat16 x) {
  return to_float(x);
}
inline float widen(float16 x) {
  return to_float(x);
}

template <class T>
T narrow(compute_t<T> x) {
  if constexpr (std::is_same_v<T, bfloat16>) {
    return to_bfloat16(x);
  } else if constexpr (std::is_same_v<T, float16>) {
    return to_float16(x);
  } else {
    return x;
  }
}

namespace detail {
typedef uint32_t Word __attribute__((vector_size(kVectorBytes)));
typedef uint16_t Half __attribute__((vector_size(kVectorBytes / 2)));
}  // namespace detail

inline Vec<float> load(const float* p) {
  Vec<float> r;
  std::memcpy(&r.v, p, sizeof r.v);
  return r;
}
inline Vec<double> load(const double* p) {
  Vec<double> r;
  std::memcpy(&r.v, p, sizeof r.v);
  return r;
}
inline Vec<float> load(const bfloat16* p) {
  detail::Half half;
  std::memcpy(&half, p, sizeof half);
  const detail::Word word = __builtin_convertvector(half, detail::Word) << 16;
  return (Vec<float>::Native)word;  // between vector types a cast keeps the bits
}
inline Vec<float> load(const float16* p) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__AVX2__)
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  Vec<float> r;
  for (int i = 0; i < Vec<float>::lanes; ++i) r.v[i] = to_float(p[i]);
  return r;
#endif
}

inline detail::Half to_halves(Vec<float> a) {  // bfloat16
  const auto bits = (detail::Word)a.v;
  const detail::Word rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  const detail::Word quiet_nan = bits >> 16 | 0x40;
  const detail::Word word = (detail::Word)(a != a) ? quiet_nan : rounded;
  return __builtin_convertvector(word, detail::Half);
}

inline void store(float* p, Vec<float> a) {
  std::memcpy(p, &a.v, sizeof a.v);
}
inline void store(double* p, Vec<double> a) {
  std::memcpy(p, &a.v, sizeof a.v);
}
inline void store(bfloat16* p, Vec<float> a) {
  const detail::Half half = to_halves(a);
  std::memcpy(p, &half, sizeof half);
}
inline void store(float16* p, Vec<float> a) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, 0));
#elif defined(__AVX2__)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, 0));
#else
  for (int i = 0; i < Vec<float>::lanes; ++i) p[i] = to_float16(a.v[i]);
#endif
}

// Without reading the lines or keeping them in the caches; p is aligned to the vector as stored.
// store_fence() makes such stores visible to other threads in order.
#if defined(__AVX512F__)
inline void store_past_caches(float* p, Vec<float> a) {
  _mm512_stream_ps(p, a.v);
}
inline void store_past_caches(double* p, Vec<double> a) {
  _mm512_stream_pd(p, a.v);
}
inline void store_past_caches(bfloat16* p, Vec<float> a) {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), (__m256i)to_halves(a));
}
inline void store_past_caches(float16* p, Vec<float> a) {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, 0));
}
#elif defined(__AVX2__)
inline void store_past_caches(float* p, Vec<float> a) {
  _mm256_stream_ps(p, a.v);
}
inline void store_past_caches(double* p, Vec<double> a) {
  _mm256_stream_pd(p, a.v);
}
inline void store_past_caches(bfloat16* p, Vec<float> a) {
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), (__m128i)to_halves(a));
}
inline void store_past_caches(float16* p, Vec<float> a) {
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.v, 0));
}
#else
#if defined(__SSE2__)
inline void store_past_caches(float* p, Vec<float> a) {
  _mm_stream_ps(p, a.v);
}
inline void store_past_caches(double* p, Vec<double> a) {
  _mm_stream_pd(p, a.v);
}
#endif
template <class T>
void store_past_caches(T* p, Vec<compute_t<T>> a) {
  store(p, a);
}
#endif
inline void store_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

// yes where words[i] >= threshold, else 0.
inline Vec<float> keep_from(const uint32_t* words, uint32_t threshold, Vec<float> yes) {
  detail::Word w;
  std::memcpy(&w, words, sizeof w);
  return (Vec<float>::Native)((detail::Word)(w >= threshold) & (detail::Word)yes.v);
}
inline Vec<double> keep_from(const uint32_t* words, uint32_t threshold, Vec<double> yes) {
  for (int i = 0; i < Vec<double>::lanes; ++i) yes.v[i] = words[i] >= threshold ? yes.v[i] : 0;
  return yes;
}

// Lanes of the next vector when `left` elements remain.
template <class C>
int lanes_left(int64_t left) {
  return left < Vec<C>::lanes ? static_cast<int>(left) : Vec<C>::lanes;
}

#if defined(__AVX512F__)
inline Vec<float> load_part(const float* p, int count, float fill) {
  return _mm512_mask_loadu_ps(Vec<float>(fill).v, static_cast<__mmask16>((1u << count) - 1), p);
}
inline void store_part(float* p, Vec<float> a, int count) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), a.v);
}
#elif defined(__AVX2__)
inline __m256i first_lanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vec<float> load_part(const float* p, int count, float fill) {
  const __m256i lanes = first_lanes(count);
  return _mm256_blendv_ps(Vec<float>(fill).v, _mm256_maskload_ps(p, lanes),
                          _mm256_castsi256_ps(lanes));
}
inline void store_part(float* p, Vec<float> a, int count) {
  _mm256_maskstore_ps(p, first_lanes(count), a.v);
}
#endif
template <class T>
Vec<compute_t<T>> load_part(const T* p, int count, compute_t<T> fill) {
  T part[Vec<compute_t<T>>::lanes];
  for (int i = 0; i < Vec<compute_t<T>>::lanes; ++i) part[i] = i < count ? p[i] : narrow<T>(fill);
  return load(part);
}
template <class T>
void store_part(T* p, Vec<compute_t<T>> a, int count) {
  T part[Vec<compute_t<T>>::lanes];
  store(part, a);
  std::memcpy(p, part, sizeof(T) * count);
}

template <class T, class C = compute_t<T>>
Vec<C> load(const T* p, int count, C fill = 0) {
  return count == Vec<C>::lanes ? load(p) : load_part(p, count, fill);
}

template <class T>
void store(T* p, Vec<compute_t<T>> a, int count) {
  count == Vec<compute_t<T>>::lanes ? store(p, a) : store_part(p, a, count);
}

}  // namespace pyllm::PYLLM_ISA
