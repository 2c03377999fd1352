// The hooks of AddressSanitizer and ThreadSanitizer that fibers need; nothing in a plain build.
//
// The emulator itself is compiled without -fsanitize=thread (its bookkeeping is one host thread's
// own business); only kernels are instrumented. EMU_ASAN / EMU_TSAN say which runtime is linked.
#pragma once

#include <cstddef>

#if defined(EMU_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

#if defined(EMU_TSAN)
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_set_fiber_name(void* fiber, const char* name);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_read_range(void* address, unsigned long bytes);
void __tsan_write_range(void* address, unsigned long bytes);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace emu {

// Happens-before edges: what one thread released, another that acquires the same address has seen.
inline void acquire([[maybe_unused]] void* address) {
#if defined(EMU_TSAN)
  __tsan_acquire(address);
#endif
}
inline void release([[maybe_unused]] void* address) {
#if defined(EMU_TSAN)
  __tsan_release(address);
#endif
}

// Memory that is allocated or freed while one of these lives starts without a history of accesses.
// Otherwise a block's fresh shared memory would seem to race with the last block's.
class ForgetAccesses {
 public:
  ForgetAccesses() {
#if defined(EMU_TSAN)
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
  }
  ~ForgetAccesses() {
#if defined(EMU_TSAN)
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
#endif
  }
  ForgetAccesses(const ForgetAccesses&) = delete;
  ForgetAccesses& operator=(const ForgetAccesses&) = delete;
};

}  // namespace emu
