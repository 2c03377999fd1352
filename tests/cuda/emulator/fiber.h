// A fiber: a stack and a saved stack pointer. One host thread runs all of them in turn.
#pragma once

#include <cstddef>

namespace emu {

class Fiber {
 public:
  Fiber() = default;  // the host's own stack
  explicit Fiber(void (*entry)());
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Saves the running fiber `from` and goes on in this one. Makes no happens-before edge.
  void resume_from(Fiber& from);

  // The first thing a new fiber must call.
  static void started(Fiber& host);

  void name(const char* text);
  void adopt_host();

 private:
  void* stack_pointer_ = nullptr;
  const void* stack_bottom_ = nullptr;
  size_t stack_bytes_ = 0;
  void* asan_fake_stack_ = nullptr;
  void* tsan_fiber_ = nullptr;
};

}  // namespace emu
