#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>

namespace pyllm {
namespace {

// Waking a sleeping thread costs about 50 us; a worker that has just finished therefore polls for
// about that long before it sleeps, which covers the gap between two ops of a training step.
constexpr int kSpins = 4000;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

thread_local bool in_task = false;

class Pool {
 public:
  explicit Pool(int workers) : workers_(workers) {
    for (int i = 0; i < workers; ++i) {
      std::thread([this] { work(); }).detach();
    }
  }

  int workers() const { return workers_; }

  // Lets the workers go, for good. The pool itself stays: a late one may still be reading it.
  void retire() {
    retired_.store(true, std::memory_order_release);
    ticket_.fetch_add(uint64_t{1} << kIndexBits, std::memory_order_seq_cst);
    ticket_.notify_all();
  }

  // Caller holds the pool's lock.
  void run(int64_t tasks, FunctionRef<void(int64_t)> task) {
    object_.store(task.object(), std::memory_order_relaxed);
    call_.store(task.call(), std::memory_order_relaxed);
    tasks_.store(tasks, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    error_ = nullptr;
    const uint64_t epoch = (ticket_.load(std::memory_order_relaxed) >> kIndexBits) + 1;
    ticket_.store(epoch << kIndexBits, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) ticket_.notify_all();
    drain();
    for (int spins = 0; done_.load(std::memory_order_acquire) < tasks;) {
      if (++spins < kSpins) {
        pause_cpu();
      } else {
        sched_yield();
      }
    }
    if (error_) std::rethrow_exception(error_);
  }

 private:
  // ticket_ holds (job number, index of the next task). A task is claimed by compare-and-swap on
  // the pair, so a worker that wakes late can never take a task of a job it did not read.
  static constexpr int kIndexBits = 32;
  static constexpr uint64_t kIndexMask = (uint64_t{1} << kIndexBits) - 1;

  void drain() {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
      void* object = object_.load(std::memory_order_relaxed);
      auto* call = call_.load(std::memory_order_relaxed);
      const auto tasks = static_cast<uint64_t>(tasks_.load(std::memory_order_relaxed));
      const uint64_t index = ticket & kIndexMask;
      if (index >= tasks) return;
      if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
      in_task = true;
      try {
        call(object, static_cast<int64_t>(index));
      } catch (...) {
        const std::lock_guard lock(error_mutex_);
        if (!error_) error_ = std::current_exception();
      }
      in_task = false;
      done_.fetch_add(1, std::memory_order_acq_rel);
      ticket = ticket_.load(std::memory_order_acquire);
    }
  }

  void work() {
    uint64_t seen = 0;
    for (;;) {
      uint64_t ticket = ticket_.load(std::memory_order_acquire);
      for (int spins = 0; ticket >> kIndexBits == seen && spins < kSpins; ++spins) {
        pause_cpu();
        ticket = ticket_.load(std::memory_order_acquire);
      }
      if (ticket >> kIndexBits == seen) {
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        ticket = ticket_.load(std::memory_order_seq_cst);
        if (ticket >> kIndexBits == seen) ticket_.wait(ticket, std::memory_order_acquire);
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
        continue;
      }
      if (retired_.load(std::memory_order_acquire)) return;
      seen = ticket >> kIndexBits;
      drain();
    }
  }

  const int workers_;
  std::atomic<uint64_t> ticket_{0};
  std::atomic<void*> object_{nullptr};
  std::atomic<void (*)(void*, int64_t)> call_{nullptr};
  std::atomic<int64_t> tasks_{0};
  std::atomic<int64_t> done_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> retired_{false};
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

int default_threads() {
  if (const char* text = std::getenv("OMP_NUM_THREADS")) {
    const int n = std::atoi(text);  // "4,2" (nested levels) reads as 4
    if (n >= 1) return n;
  }
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  const unsigned n = std::thread::hardware_concurrency();
  return n == 0 ? 1 : static_cast<int>(n);
}

struct State {
  std::atomic<int> threads{default_threads()};
  std::mutex mutex;      // held for the length of a job
  Pool* pool = nullptr;  // never destroyed: its workers may outlive static destructors
};

State& state() {
  static State* instance = [] {
    // A child has none of its parent's workers: it forgets the pool and builds one when needed.
    pthread_atfork([] { state().mutex.lock(); }, [] { state().mutex.unlock(); },
                   [] {
                     state().pool = nullptr;
                     state().mutex.unlock();
                   });
    return new State;
  }();
  return *instance;
}

}  // namespace

int num_threads() {
  return in_task ? 1 : state().threads.load(std::memory_order_relaxed);
}

void set_num_threads(int n) {
  if (n >= 1) state().threads.store(n, std::memory_order_relaxed);
}

void parallel_tasks(int64_t tasks, FunctionRef<void(int64_t)> task) {
  const int threads = num_threads();
  State& s = state();
  if (tasks > 1 && threads > 1 && s.mutex.try_lock()) {
    const std::lock_guard lock(s.mutex, std::adopt_lock);
    if (s.pool && s.pool->workers() != threads - 1) {
      s.pool->retire();
      s.pool = nullptr;
    }
    if (!s.pool) s.pool = new Pool(threads - 1);
    s.pool->run(tasks, task);
    return;
  }
  for (int64_t i = 0; i < tasks; ++i) task(i);
}

}  // namespace pyllm
