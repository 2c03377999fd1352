// The device vocabulary that kernels are written in, and the only file with inline PTX.
//
// nvcc compiles it to the instructions; any other compiler gets the emulator's side of the same
// names (tests/cuda/emulator), which runs the kernels on a CPU and checks every access.
//
//   PYLLM_SHARED(T, name, n)      an array in shared memory; dev::Shared<T> points into it
//   PYLLM_DYNAMIC_SHARED(T, name) the block's dynamic shared memory; .part<U>(n) cuts an array off
//   PYLLM_LAUNCH(kernel, grid, block, shared_bytes, stream, args...)   returns a cudaError_t
//   ldg stg lds sts               read and write global and shared memory; take Vec<T, N> too
//   cp_async16(to, from, valid)   16 bytes global -> shared past the registers; zeros if not valid
//   ldmatrix_x4(_trans), mma_m16n8k16    tensor-core operands and product
//
// Fragments (PTX ISA, with group = lane / 4 and pair = 2 (lane % 4)) of d += a b, 16 bits packed
// in pairs, low half first:
//   a[0] (group, pair..)    a[1] (group + 8, pair..)   a[2] (group, pair + 8..)   a[3] (both)
//   b[0] (pair.., group)    b[1] (pair + 8.., group)
//   d[0..1] (group, pair..) d[2..3] (group + 8, pair..)
// ldmatrix_x4 reads four 8 x 8 tiles, lane l giving the address of row l % 8 of tile l / 8; each
// lane gets (group, pair..) of tile m in r[m], or of its transpose.
#pragma once

#if defined(__CUDACC__)

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#define PYLLM_DEVICE __device__ __forceinline__
#define PYLLM_SHARED(T, name, count)                                         \
  __shared__ __align__(128) unsigned char name##_bytes[sizeof(T) * (count)]; \
  const ::pyllm::dev::Shared<T> name(reinterpret_cast<T*>(name##_bytes))
#define PYLLM_DYNAMIC_SHARED(T, name)                                    \
  extern __shared__ __align__(128) unsigned char pyllm_dynamic_shared[]; \
  const ::pyllm::dev::Shared<T> name(reinterpret_cast<T*>(pyllm_dynamic_shared))
#define PYLLM_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  ::pyllm::dev::launch(kernel, grid, block, shared_bytes, stream, __VA_ARGS__)

namespace pyllm::dev {

using half_t = __half;
using bf16_t = __nv_bfloat16;

PYLLM_DEVICE float to_float(float x) {
  return x;
}
PYLLM_DEVICE float to_float(half_t x) {
  return __half2float(x);
}
PYLLM_DEVICE float to_float(bf16_t x) {
  return __bfloat162float(x);
}
template <class T>
PYLLM_DEVICE T from_float(float x) {
  if constexpr (std::is_same_v<T, half_t>) {
    return __float2half_rn(x);
  } else if constexpr (std::is_same_v<T, bf16_t>) {
    return __float2bfloat16_rn(x);
  } else {
    return x;
  }
}
template <class T>
PYLLM_DEVICE uint32_t pack2(float low, float high) {
  if constexpr (std::is_same_v<T, half_t>) {
    const __half2 pair = __floats2half2_rn(low, high);
    return reinterpret_cast<const uint32_t&>(pair);
  } else {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return reinterpret_cast<const uint32_t&>(pair);
  }
}

PYLLM_DEVICE float exp(float x) {
  return __expf(x);
}
// To the last bits of float32 also for large |x|.
PYLLM_DEVICE float precise_exp(float x) {
  return expf(x);
}
PYLLM_DEVICE float exp2(float x) {
  return exp2f(x);
}
PYLLM_DEVICE float log(float x) {
  return logf(x);
}
PYLLM_DEVICE float pow(float x, float y) {
  return powf(x, y);
}
PYLLM_DEVICE float sin(float x) {
  return sinf(x);
}
PYLLM_DEVICE float cos(float x) {
  return cosf(x);
}
PYLLM_DEVICE float tanh(float x) {
  return tanhf(x);
}
PYLLM_DEVICE float erf(float x) {
  return erff(x);
}
PYLLM_DEVICE float sqrt(float x) {
  return sqrtf(x);
}
PYLLM_DEVICE double sqrt(double x) {
  return ::sqrt(x);
}
PYLLM_DEVICE float rsqrt(float x) {
  return rsqrtf(x);
}
PYLLM_DEVICE float max(float a, float b) {
  return fmaxf(a, b);
}
PYLLM_DEVICE float min(float a, float b) {
  return fminf(a, b);
}
PYLLM_DEVICE float fma(float a, float b, float c) {
  return fmaf(a, b, c);
}

PYLLM_DEVICE uint32_t bits_of(float x) {
  return __float_as_uint(x);
}
PYLLM_DEVICE int64_t bits_of(double x) {
  return __double_as_longlong(x);
}
PYLLM_DEVICE float float_of(uint32_t bits) {
  return __uint_as_float(bits);
}
PYLLM_DEVICE double double_of(int64_t bits) {
  return __longlong_as_double(bits);
}
// To nearest, ties to even.
PYLLM_DEVICE int64_t round_even(double x) {
  return __double2ll_rn(x);
}
// Operations that the compiler does not fuse with others.
PYLLM_DEVICE double add_rn(double a, double b) {
  return __dadd_rn(a, b);
}
PYLLM_DEVICE double mul_rn(double a, double b) {
  return __dmul_rn(a, b);
}
PYLLM_DEVICE double div_rn(double a, double b) {
  return __ddiv_rn(a, b);
}

// A pointer into shared memory. The emulator's knows its bounds; this one is the bare pointer.
template <class T>
class Shared {
 public:
  PYLLM_DEVICE explicit Shared(T* p) : p_(p) {}
  PYLLM_DEVICE Shared operator+(int64_t n) const { return Shared(p_ + n); }
  template <class U>
  PYLLM_DEVICE Shared<U> as() const {
    return Shared<U>(reinterpret_cast<U*>(p_));
  }
  template <class U = T>
  PYLLM_DEVICE Shared<U> part(int64_t) const {
    return as<U>();
  }
  PYLLM_DEVICE T* get() const { return p_; }

 private:
  T* p_;
};

// A Vec moves in one instruction, as these words. Left to itself the compiler splits some into
// their elements; stores even where it is given words, hence the PTX.
template <class T, int N>
struct Vec;
template <class T>
constexpr bool kMovesInWords = false;
template <class T, int N>
constexpr bool kMovesInWords<Vec<T, N>> = N > 1 && sizeof(T) * N % sizeof(uint32_t) == 0;
template <int kWords>
using Words = std::conditional_t<kWords == 4, uint4, std::conditional_t<kWords == 2, uint2, uint1>>;

template <class T>
PYLLM_DEVICE T load(const T* p) {
  if constexpr (kMovesInWords<T>) {
    const auto words = *reinterpret_cast<const Words<sizeof(T) / sizeof(uint32_t)>*>(p);
    T value;
    memcpy(&value, &words, sizeof value);
    return value;
  } else {
    return *p;
  }
}
template <class T>
PYLLM_DEVICE T ldg(const T* p) {
  return load(p);
}
template <class T>
PYLLM_DEVICE void stg(T* p, std::common_type_t<T> value) {
  if constexpr (kMovesInWords<T>) {
    uint32_t w[sizeof(T) / sizeof(uint32_t)];
    memcpy(w, &value, sizeof value);
    const size_t at = __cvta_generic_to_global(p);
    if constexpr (sizeof w == 16) {
      asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};\n" ::"l"(at), "r"(w[0]), "r"(w[1]),
                   "r"(w[2]), "r"(w[3])
                   : "memory");
    } else if constexpr (sizeof w == 8) {
      asm volatile("st.global.v2.b32 [%0], {%1, %2};\n" ::"l"(at), "r"(w[0]), "r"(w[1]) : "memory");
    } else {
      asm volatile("st.global.b32 [%0], %1;\n" ::"l"(at), "r"(w[0]) : "memory");
    }
  } else {
    *p = value;
  }
}
template <class T>
PYLLM_DEVICE T lds(const Shared<T>& p) {
  return load(p.get());
}
template <class T>
PYLLM_DEVICE void sts(const Shared<T>& p, std::common_type_t<T> value) {
  if constexpr (kMovesInWords<T>) {
    Words<sizeof(T) / sizeof(uint32_t)> words;
    memcpy(&words, &value, sizeof value);
    *reinterpret_cast<decltype(words)*>(p.get()) = words;
  } else {
    *p.get() = value;
  }
}
template <class T>
PYLLM_DEVICE T atomic_add(T* p, std::common_type_t<T> value) {
  if constexpr (std::is_same_v<T, int64_t>) {
    return static_cast<int64_t>(atomicAdd(reinterpret_cast<unsigned long long*>(p),
                                          static_cast<unsigned long long>(value)));
  } else {
    return atomicAdd(p, value);
  }
}
PYLLM_DEVICE uint32_t atomic_max(uint32_t* p, uint32_t value) {
  return atomicMax(p, value);
}
PYLLM_DEVICE int64_t atomic_max(int64_t* p, int64_t value) {
  return atomicMax(reinterpret_cast<long long*>(p), static_cast<long long>(value));
}
PYLLM_DEVICE int64_t atomic_min(int64_t* p, int64_t value) {
  return atomicMin(reinterpret_cast<long long*>(p), static_cast<long long>(value));
}
template <class T>
PYLLM_DEVICE T atomic_add(const Shared<T>& p, std::common_type_t<T> value) {
  return atomic_add(p.get(), value);
}

template <class T>
PYLLM_DEVICE uint32_t shared_address(const Shared<T>& p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p.get()));
}

template <class T, class U>
PYLLM_DEVICE void cp_async16(const Shared<T>& to, const U* from, bool valid = true) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0)
               : "memory");
}
PYLLM_DEVICE void cp_commit() {
  asm volatile("cp.async.commit_group;\n" ::: "memory");
}
template <int kNewest>
PYLLM_DEVICE void cp_wait() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(kNewest) : "memory");
}

template <class T>
PYLLM_DEVICE void ldmatrix_x4(uint32_t (&r)[4], const Shared<T>& row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
template <class T>
PYLLM_DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const Shared<T>& row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

template <class T>
PYLLM_DEVICE void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, half_t>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    static_assert(std::is_same_v<T, bf16_t>);
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

template <class... Params, class... Args>
cudaError_t launch(void (*kernel)(Params...), dim3 grid, dim3 block, size_t shared_bytes,
                   cudaStream_t stream, Args... args) {
  constexpr size_t kWithoutOptIn = 48 << 10;
  if (shared_bytes > kWithoutOptIn) {
    const cudaError_t error = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                   cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                   static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Params>(args)...);
  return cudaGetLastError();
}

}  // namespace pyllm::dev

#else

#define PYLLM_DEVICE inline
#include "emulator.h"

#endif

namespace pyllm::dev {

// N elements that move in one access of up to 16 bytes.
template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  T v[N];
};
template <class T>
constexpr int kVecWidth = 16 / static_cast<int>(sizeof(T));

constexpr uint32_t kFullMask = 0xFFFFFFFFu;
constexpr int kWarpSize = 32;

}  // namespace pyllm::dev
