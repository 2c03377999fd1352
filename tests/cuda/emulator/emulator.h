// What a kernel sees in place of CUDA: its keywords, built-in variables and functions, and the
// emulator's side of the device vocabulary of kernels/cuda/device.cuh.
//
// This header is compiled with the kernel, so in a ThreadSanitizer build it is the place that tells
// the detector of each access, under the kernel's own source line.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "cuda_types.h"
#include "launch.h"
#include "memory.h"
#include "sanitizers.h"
#include "thread.h"
#include "warp.h"

#define EMU_INLINE __attribute__((always_inline)) inline

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static_assert(false, "declare shared memory with PYLLM_SHARED")

#define threadIdx (::emu::current->index)
#define blockIdx (::emu::block.index)
#define blockDim (::emu::block.size)
#define gridDim (::emu::block.grid)

#define PYLLM_SHARED(T, name, count)  \
  const ::pyllm::dev::Shared<T> name( \
      ::emu::shared_array(sizeof(T) * (count), ::std::source_location::current()))
#define PYLLM_DYNAMIC_SHARED(T, name) \
  const ::pyllm::dev::Shared<T> name(::emu::dynamic_shared(::std::source_location::current()))
#define PYLLM_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  ::emu::launch(#kernel, kernel, grid, block, shared_bytes, __VA_ARGS__)

namespace emu {

EMU_INLINE void note_read([[maybe_unused]] const void* p, [[maybe_unused]] size_t bytes) {
#if defined(EMU_TSAN)
  __tsan_read_range(const_cast<void*>(p), bytes);
#endif
}
EMU_INLINE void note_write([[maybe_unused]] void* p, [[maybe_unused]] size_t bytes) {
#if defined(EMU_TSAN)
  __tsan_write_range(p, bytes);
#endif
}

template <class... Params, class... Args>
cudaError_t launch(const char* name, void (*kernel)(Params...), dim3 grid, dim3 block_size,
                   size_t shared_bytes, Args... args) {
  constexpr size_t kParameterBytes = 4096;  // what CUDA takes on every target
  static_assert((sizeof(Params) + ... + 0) <= kParameterBytes);
  return run_grid(name, grid, block_size, shared_bytes,
                  [=] { kernel(static_cast<Params>(args)...); });
}

// An atomic read-modify-write with no ordering, which is all that CUDA's promise.
template <class T, class Combine>
EMU_INLINE T update_atomically(T* p, Combine&& combine) {
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  Bits* bits = reinterpret_cast<Bits*>(p);
  Bits old = __atomic_load_n(bits, __ATOMIC_RELAXED);
  for (;;) {
    const T before = std::bit_cast<T>(old);
    const Bits after = std::bit_cast<Bits>(combine(before));
    if (__atomic_compare_exchange_n(bits, &old, after, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      return before;
    }
  }
}

// A counter that wraps around is a wrong sum on the hardware too, where nobody says so.
template <class T>
EMU_INLINE T checked_sum(T old, T value, Site site) {
  if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    T sum;
    if (__builtin_add_overflow(old, value, &sum)) {
      report("integer overflow", "a sum by atomic_add leaves the range of its type", site);
    }
    return sum;
  } else {
    return static_cast<T>(old + value);
  }
}

}  // namespace emu

inline void __syncthreads(emu::Site site = emu::Site::current()) {
  emu::block_barrier(site);
}
inline void __syncwarp(uint32_t mask = ~0u, emu::Site site = emu::Site::current()) {
  emu::sync_warp(mask, site);
}

#define EMU_SHUFFLE(name, kind)                                         \
  template <class T>                                                    \
  T name(uint32_t mask, T value, int argument, int width = 32,          \
         emu::Site site = emu::Site::current()) {                       \
    static_assert(std::is_arithmetic_v<T> && sizeof(T) <= 8);           \
    emu::shuffle(mask, &value, sizeof(T), kind, argument, width, site); \
    return value;                                                       \
  }
EMU_SHUFFLE(__shfl_sync, emu::Shuffle::index)
EMU_SHUFFLE(__shfl_up_sync, emu::Shuffle::up)
EMU_SHUFFLE(__shfl_down_sync, emu::Shuffle::down)
EMU_SHUFFLE(__shfl_xor_sync, emu::Shuffle::exclusive_or)
#undef EMU_SHUFFLE

inline uint32_t __ballot_sync(uint32_t mask, int predicate, emu::Site site = emu::Site::current()) {
  return emu::ballot(mask, predicate != 0, site);
}
inline int __any_sync(uint32_t mask, int predicate, emu::Site site = emu::Site::current()) {
  return emu::ballot(mask, predicate != 0, site) != 0;
}
inline int __all_sync(uint32_t mask, int predicate, emu::Site site = emu::Site::current()) {
  return emu::ballot(mask, predicate == 0, site) == 0;
}
inline int __popc(uint32_t bits) {
  return std::popcount(bits);
}
inline uint32_t __umulhi(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(uint64_t{a} * b >> 32);
}

namespace pyllm::dev {

// Storage types. Widening is exact; narrowing rounds to nearest, ties to even.
struct half_t {
  uint16_t bits;
};
struct bf16_t {
  uint16_t bits;
};
inline float widen_bf16(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}
inline float widen_half(uint16_t bits) {
  return static_cast<float>(std::bit_cast<_Float16>(bits));
}
inline float to_float(float x) {
  return x;
}
inline float to_float(half_t x) {
  return widen_half(x.bits);
}
inline float to_float(bf16_t x) {
  return widen_bf16(x.bits);
}
template <class T>
T from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
template <>
inline half_t from_float<half_t>(float x) {
  return {std::bit_cast<uint16_t>(static_cast<_Float16>(x))};
}
template <>
inline bf16_t from_float<bf16_t>(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (x != x) return {0x7FFF};
  return {static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}
template <class T>
uint32_t pack2(float low, float high) {
  static_assert(sizeof(T) == 2);
  return from_float<T>(low).bits | uint32_t{from_float<T>(high).bits} << 16;
}

inline float exp(float x) {
  return std::exp(x);
}
inline float precise_exp(float x) {
  return std::exp(x);
}
inline float exp2(float x) {
  return std::exp2(x);
}
inline float log(float x) {
  return std::log(x);
}
inline float pow(float x, float y) {
  return std::pow(x, y);
}
inline float sin(float x) {
  return std::sin(x);
}
inline float cos(float x) {
  return std::cos(x);
}
inline float tanh(float x) {
  return std::tanh(x);
}
inline float erf(float x) {
  return std::erf(x);
}
inline float sqrt(float x) {
  return std::sqrt(x);
}
inline double sqrt(double x) {
  return std::sqrt(x);
}
inline float rsqrt(float x) {
  return 1.0f / std::sqrt(x);
}
inline float max(float a, float b) {
  return std::fmax(a, b);
}
inline float min(float a, float b) {
  return std::fmin(a, b);
}
inline float fma(float a, float b, float c) {
  return std::fma(a, b, c);
}

inline uint32_t bits_of(float x) {
  return std::bit_cast<uint32_t>(x);
}
inline int64_t bits_of(double x) {
  return std::bit_cast<int64_t>(x);
}
inline float float_of(uint32_t bits) {
  return std::bit_cast<float>(bits);
}
inline double double_of(int64_t bits) {
  return std::bit_cast<double>(bits);
}
inline int64_t round_even(double x) {
  return std::llrint(x);
}
// x86-64 as it is compiled for here has no fused operations.
inline double add_rn(double a, double b) {
  return a + b;
}
inline double mul_rn(double a, double b) {
  return a * b;
}
inline double div_rn(double a, double b) {
  return a / b;
}

// A pointer into shared memory that knows the array it points into.
template <class T>
class Shared {
 public:
  explicit Shared(const emu::Extent& extent)
      : extent_(extent), p_(reinterpret_cast<T*>(extent.begin)) {}
  Shared(const emu::Extent& extent, T* p) : extent_(extent), p_(p) {}
  Shared operator+(int64_t n) const { return {extent_, p_ + n}; }
  template <class U>
  Shared<U> as() const {
    return {extent_, reinterpret_cast<U*>(p_)};
  }
  // `count` elements from here as an array of their own, with its own bounds.
  template <class U = T>
  Shared<U> part(int64_t count, emu::Site site = emu::Site::current()) const {
    auto* begin = reinterpret_cast<unsigned char*>(p_);
    unsigned char* end = begin + count * sizeof(U);
    if (begin < extent_.begin || end > extent_.end) {
      emu::report("out of bounds", "a part of shared memory ends past its array", site);
    }
    return Shared<U>(emu::Extent{extent_.array, begin, end});
  }
  T* get() const { return p_; }
  const emu::Extent& extent() const { return extent_; }

 private:
  emu::Extent extent_;
  T* p_;
};

template <class T>
EMU_INLINE T ldg(const T* p, emu::Site site = emu::Site::current()) {
  T value;
  emu::note_read(p, sizeof(T));
  emu::global_read(&value, p, sizeof(T), site);
  return value;
}
template <class T>
EMU_INLINE void stg(T* p, std::type_identity_t<T> value, emu::Site site = emu::Site::current()) {
  emu::note_write(p, sizeof(T));
  emu::global_write(p, &value, sizeof(T), site);
}
template <class T>
EMU_INLINE T lds(const Shared<T>& p, emu::Site site = emu::Site::current()) {
  T value;
  emu::shared_read(&value, p.extent(), p.get(), sizeof(T), site);
  emu::note_read(p.get(), sizeof(T));
  return value;
}
template <class T>
EMU_INLINE void sts(const Shared<T>& p, std::type_identity_t<T> value,
                    emu::Site site = emu::Site::current()) {
  emu::shared_write(p.extent(), p.get(), &value, sizeof(T), site);
  emu::note_write(p.get(), sizeof(T));
}

template <class T>
EMU_INLINE T atomic_add(T* p, std::type_identity_t<T> value,
                        emu::Site site = emu::Site::current()) {
  emu::global_update(p, sizeof(T), site);
  return emu::update_atomically(p, [&](T old) { return emu::checked_sum(old, value, site); });
}
template <class T>
EMU_INLINE T atomic_add(const Shared<T>& p, std::type_identity_t<T> value,
                        emu::Site site = emu::Site::current()) {
  emu::shared_update(p.extent(), p.get(), sizeof(T), site);
  return emu::update_atomically(p.get(), [&](T old) { return emu::checked_sum(old, value, site); });
}

template <class T>
EMU_INLINE T atomic_max(T* p, std::type_identity_t<T> value,
                        emu::Site site = emu::Site::current()) {
  emu::global_update(p, sizeof(T), site);
  return emu::update_atomically(p, [&](T old) { return old > value ? old : value; });
}
template <class T>
EMU_INLINE T atomic_min(T* p, std::type_identity_t<T> value,
                        emu::Site site = emu::Site::current()) {
  emu::global_update(p, sizeof(T), site);
  return emu::update_atomically(p, [&](T old) { return old < value ? old : value; });
}

template <class T, class U>
EMU_INLINE void cp_async16(const Shared<T>& to, const U* from, bool valid = true,
                           emu::Site site = emu::Site::current()) {
  emu::copy_async(to.extent(), to.get(), from, valid ? 16 : 0, site);
  emu::note_write(to.get(), 16);
}
inline void cp_commit() {
  emu::commit_copies();
}
template <int kNewest>
EMU_INLINE void cp_wait() {
  for (const emu::AsyncCopy& copy : emu::land_copies(kNewest)) {
    emu::note_read(copy.source, copy.bytes);
    emu::note_write(copy.target, 16);
  }
}

template <class T>
EMU_INLINE void ldmatrix_x4(uint32_t (&r)[4], const Shared<T>& row,
                            emu::Site site = emu::Site::current()) {
  uint32_t mine[4];
  emu::shared_read(mine, row.extent(), row.get(), 16, site);
  emu::note_read(row.get(), 16);
  emu::ldmatrix_x4(r, mine, false, site);
}
template <class T>
EMU_INLINE void ldmatrix_x4_trans(uint32_t (&r)[4], const Shared<T>& row,
                                  emu::Site site = emu::Site::current()) {
  uint32_t mine[4];
  emu::shared_read(mine, row.extent(), row.get(), 16, site);
  emu::note_read(row.get(), 16);
  emu::ldmatrix_x4(r, mine, true, site);
}

template <class T>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  emu::Site site = emu::Site::current()) {
  static_assert(std::is_same_v<T, bf16_t> || std::is_same_v<T, half_t>);
  emu::mma_m16n8k16(d, a, b, std::is_same_v<T, bf16_t> ? widen_bf16 : widen_half, site);
}

}  // namespace pyllm::dev
