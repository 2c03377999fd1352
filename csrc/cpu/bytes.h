// Bytes as vectors of float: loads widen, stores take whole numbers that fit. Written out because
// __builtin_convertvector goes element by element from bytes to words (GCC 12).
#pragma once

#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

inline Vec<float> load(const int8_t* p) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
#elif defined(__AVX2__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
#else
  Vec<float> r;
  for (int i = 0; i < Vec<float>::lanes; ++i) r.v[i] = p[i];
  return r;
#endif
}
inline Vec<float> load(const uint8_t* p) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes));
#elif defined(__AVX2__)
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
#else
  Vec<float> r;
  for (int i = 0; i < Vec<float>::lanes; ++i) r.v[i] = p[i];
  return r;
#endif
}

// Fractions are cut off.
inline void store(int8_t* p, Vec<float> a) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(a.v));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
#elif defined(__AVX2__)
  const __m256i words = _mm256_cvttps_epi32(a.v);
  const __m128i halves =
      _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(halves, halves));
#else
  for (int i = 0; i < Vec<float>::lanes; ++i) p[i] = static_cast<int8_t>(a.v[i]);
#endif
}
inline void store(uint8_t* p, Vec<float> a) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(a.v));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
#elif defined(__AVX2__)
  const __m256i words = _mm256_cvttps_epi32(a.v);
  const __m128i halves =
      _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(halves, halves));
#else
  for (int i = 0; i < Vec<float>::lanes; ++i) p[i] = static_cast<uint8_t>(a.v[i]);
#endif
}

}  // namespace pyllm::PYLLM_ISA
