#include "fiber.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#include "sanitizers.h"

#if !defined(__x86_64__) || !defined(__linux__)
#error "the CUDA emulator switches stacks by hand on x86-64 Linux only"
#endif

// Saves the callee-saved registers of the System V ABI on the old stack and restores them from the
// new one: 20 ns a switch where swapcontext, which also saves the signal mask, takes 300.
extern "C" void emu_switch_stack(void** save, void* to);
asm(R"(
.text
.globl emu_switch_stack
.type emu_switch_stack, @function
emu_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emu_switch_stack, .-emu_switch_stack
)");

namespace emu {
namespace {
constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kGuardBytes = 4096;
constexpr int kSavedRegisters = 6;
}  // namespace

Fiber::Fiber(void (*entry)()) : stack_bytes_(kStackBytes) {
  void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuardBytes, PROT_NONE) != 0) {
    std::perror("emulator: no memory for a fiber's stack");
    std::abort();
  }
  char* bottom = static_cast<char*>(memory) + kGuardBytes;
  stack_bottom_ = bottom;
  void** top = reinterpret_cast<void**>(bottom + kStackBytes);
  *--top = nullptr;  // keeps the stack 16-byte aligned at entry, as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  stack_pointer_ = top;
#if defined(EMU_TSAN)
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
}

void Fiber::adopt_host() {
#if defined(EMU_TSAN)
  tsan_fiber_ = __tsan_get_current_fiber();
#endif
}

void Fiber::name([[maybe_unused]] const char* text) {
#if defined(EMU_TSAN)
  __tsan_set_fiber_name(tsan_fiber_, text);
#endif
}

void Fiber::resume_from(Fiber& from) {
#if defined(EMU_ASAN)
  __sanitizer_start_switch_fiber(&from.asan_fake_stack_, stack_bottom_, stack_bytes_);
#endif
#if defined(EMU_TSAN)
  constexpr unsigned kNoSync = 1;
  __tsan_switch_to_fiber(tsan_fiber_, kNoSync);
#endif
  emu_switch_stack(&from.stack_pointer_, stack_pointer_);
#if defined(EMU_ASAN)
  __sanitizer_finish_switch_fiber(from.asan_fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::started([[maybe_unused]] Fiber& host) {
#if defined(EMU_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &host.stack_bottom_, &host.stack_bytes_);
#endif
}

}  // namespace emu
