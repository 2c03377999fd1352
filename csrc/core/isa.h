// Kernels are compiled once per instruction set, from one source, into namespaces of their own;
// the best one this CPU runs is picked at the first call.
//
// A kernel header declares     PYLLM_KERNEL(softmax_forward, (const SoftmaxArgs& args));
// its source defines it in     namespace pyllm::PYLLM_ISA { void softmax_forward(...) {...} }
// and callers write            pyllm::softmax_forward(args);
//
// PYLLM_ISA=baseline|avx2|avx512 in the environment forces a set (an error if the CPU or the
// build lacks it); set_isa does the same at run time, for tests.
#pragma once

#include <string>
#include <vector>

namespace pyllm {

enum class Isa { baseline, avx2, avx512 };

Isa current_isa();
void set_isa(const std::string& name);      // throws std::invalid_argument
std::vector<std::string> available_isas();  // built in and supported here, worst first
const char* name_of(Isa isa);               // "baseline" reads "neon" on Arm

}  // namespace pyllm

// PYLLM_HAS_X86_ISAS: the build has the AVX2 and AVX-512 objects.
#if defined(PYLLM_HAS_X86_ISAS)
#define PYLLM_KERNEL(name, parameters)                 \
  namespace baseline {                                 \
  void name parameters;                                \
  }                                                    \
  namespace avx2 {                                     \
  void name parameters;                                \
  }                                                    \
  namespace avx512 {                                   \
  void name parameters;                                \
  }                                                    \
  template <class... A>                                \
  void name(A&&... a) {                                \
    switch (current_isa()) {                           \
      case Isa::avx512:                                \
        return avx512::name(static_cast<A&&>(a)...);   \
      case Isa::avx2:                                  \
        return avx2::name(static_cast<A&&>(a)...);     \
      case Isa::baseline:                              \
        return baseline::name(static_cast<A&&>(a)...); \
    }                                                  \
  }
#else
#define PYLLM_KERNEL(name, parameters)      \
  namespace baseline {                      \
  void name parameters;                     \
  }                                         \
  template <class... A>                     \
  void name(A&&... a) {                     \
    baseline::name(static_cast<A&&>(a)...); \
  }
#endif
