// Errors of the emulator, and the place of an error that a sanitizer found.
#include <unistd.h>

#include <cstdio>

#include "thread.h"

namespace emu {
namespace {

void print_place() {
  if (current == nullptr) {
    std::fprintf(stderr, "  outside any kernel\n");
    return;
  }
  std::fprintf(stderr, "  in %s, block (%u, %u, %u), thread (%u, %u, %u), warp %d, lane %d\n",
               block.kernel.c_str(), block.index.x, block.index.y, block.index.z, current->index.x,
               current->index.y, current->index.z, current->warp, current->lane);
}

}  // namespace

void report(const char* kind, const std::string& what, Site site) {
  std::fprintf(stderr, "EMULATOR %s: %s\n", kind, what.c_str());
  print_place();
  std::fprintf(stderr, "  at %s:%u\n", site.file_name(), site.line());
  for (const Thread* t : block.threads) {
    if (t != current &&
        (t->state == ThreadState::at_barrier || t->state == ThreadState::in_collective)) {
      std::fprintf(stderr, "  meanwhile thread %d waits at %s, %s:%u\n", t->linear, t->waits_for,
                   t->waits_at.file_name(), t->waits_at.line());
      break;
    }
  }
  std::fflush(stderr);
  _exit(kReportExitCode);
}

}  // namespace emu

#if defined(EMU_ASAN)
extern "C" void __asan_on_error() {
  emu::print_place();
}
#endif
#if defined(EMU_TSAN)
extern "C" void __tsan_on_report(void*) {
  std::fprintf(stderr, "EMULATOR race: the second access is\n");
  emu::print_place();
}
#endif
