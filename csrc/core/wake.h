// Where a sleeping worker wakes.
//
// Left alone, a kernel may wake a worker on its waker's CPU and leave it there, behind the waker,
// for milliseconds. So the waker takes its own CPU out of the worker's affinity before the call,
// and the worker puts it back as soon as it runs: for that moment it may run on fewer of the CPUs
// it is allowed, never on another. What its affinity is at each wake counts, whoever set it.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <atomic>

namespace pyllm {

class WakePlace {
 public:
  // ---- the worker, around its sleep ----
  void enter() {
    thread_ = pthread_self();
    state_.store(kAsleep, std::memory_order_release);
  }
  void leave() {
    int state = kAsleep;
    if (state_.compare_exchange_strong(state, kAwake, std::memory_order_acquire)) return;
    while (state_.load(std::memory_order_acquire) != kPlaced) sched_yield();
    if (moved_) pthread_setaffinity_np(thread_, sizeof allowed_, &allowed_);
    state_.store(kAwake, std::memory_order_relaxed);
  }

  // ---- the waker, which runs on `cpu`, before it wakes ----
  void keep_off(int cpu) {
    int state = kAsleep;
    if (!state_.compare_exchange_strong(state, kPlacing, std::memory_order_acquire)) return;
    moved_ = move_off(cpu);
    state_.store(kPlaced, std::memory_order_release);
  }

 private:
  enum State { kAwake, kAsleep, kPlacing, kPlaced };

  bool move_off(int cpu) {
    if (pthread_getaffinity_np(thread_, sizeof allowed_, &allowed_) != 0) return false;
    cpu_set_t others = allowed_;
    CPU_CLR(cpu, &others);
    const int left = CPU_COUNT(&others);
    return left > 0 && left < CPU_COUNT(&allowed_) &&
           pthread_setaffinity_np(thread_, sizeof others, &others) == 0;
  }

  std::atomic<int> state_{kAwake};
  pthread_t thread_{};
  bool moved_ = false;
  cpu_set_t allowed_{};
};

}  // namespace pyllm
