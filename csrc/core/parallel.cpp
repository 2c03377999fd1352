#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "core/wake.h"

namespace pyllm {
namespace {

// Waking a sleeping thread costs about 50 us; a worker that has just finished therefore polls for
// about that long before it sleeps, which covers the gap between two ops of a training step.
constexpr int kSpins = 4000;

// Workers of a pool that are given a place to wake: of many, few can land on the waker's CPU.
constexpr int kPlacedWorkers = 16;

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
  // Each worker shares in the ownership: a retired pool goes with its last worker.
  static std::shared_ptr<Pool> make(int workers) {
    std::shared_ptr<Pool> pool(new Pool(workers));
    for (int i = 0; i < workers; ++i) {
      std::thread([pool, i] { pool->work(pool->places_[i]); }).detach();
    }
    return pool;
  }

  int workers() const { return workers_; }

  // Caller holds the pool's lock.
  void run(int64_t tasks, FunctionRef<void(int64_t)> task) {
    // Closing the old job before its fields change makes every claim that mixes old and new fail.
    const uint64_t job = (ticket_.load(std::memory_order_relaxed) >> kIndexBits) + 1;
    ticket_.store(job << kIndexBits | kIndexMask, std::memory_order_relaxed);
    object_.store(task.object(), std::memory_order_release);
    call_.store(task.call(), std::memory_order_release);
    tasks_.store(tasks, std::memory_order_release);
    done_.store(0, std::memory_order_relaxed);
    error_ = nullptr;
    ticket_.store((job + 1) << kIndexBits, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) {
      if (workers_ <= kPlacedWorkers) {
        const int cpu = sched_getcpu();
        for (WakePlace& place : places_) place.keep_off(cpu);
      }
      ticket_.notify_all();
    }
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

  void retire() {
    retired_.store(true, std::memory_order_release);
    const uint64_t job = (ticket_.load(std::memory_order_relaxed) >> kIndexBits) + 1;
    ticket_.store(job << kIndexBits | kIndexMask, std::memory_order_seq_cst);
    ticket_.notify_all();
  }

 private:
  explicit Pool(int workers) : workers_(workers), places_(workers) {}

  // ticket_ holds (job number, index of the next task). A task is claimed by compare-and-swap on
  // the pair, so a worker that wakes late can never take a task of a job it did not read. A closed
  // job has the highest index, which no job reaches.
  static constexpr int kIndexBits = 32;
  static constexpr uint64_t kIndexMask = (uint64_t{1} << kIndexBits) - 1;

  void drain() {
    uint64_t ticket = ticket_.load(std::memory_order_acquire);
    for (;;) {
      void* object = object_.load(std::memory_order_acquire);
      auto* call = call_.load(std::memory_order_acquire);
      const auto tasks = static_cast<uint64_t>(tasks_.load(std::memory_order_acquire));
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

  void work(WakePlace& place) {
    uint64_t seen = 0;
    while (!retired_.load(std::memory_order_acquire)) {
      uint64_t ticket = ticket_.load(std::memory_order_acquire);
      for (int spins = 0; ticket >> kIndexBits == seen && spins < kSpins; ++spins) {
        pause_cpu();
        ticket = ticket_.load(std::memory_order_acquire);
      }
      if (ticket >> kIndexBits == seen) {
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        ticket = ticket_.load(std::memory_order_seq_cst);
        if (ticket >> kIndexBits == seen) {
          place.enter();
          ticket_.wait(ticket, std::memory_order_acquire);
          place.leave();
        }
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
        continue;
      }
      seen = ticket >> kIndexBits;
      drain();
    }
  }

  const int workers_;
  std::vector<WakePlace> places_;
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
  std::mutex mutex;  // held for the length of a job
  std::shared_ptr<Pool> pool;
};

State& state() {
  static State* instance = [] {
    // A child has none of its parent's workers: it forgets the pool and builds one when needed.
    // The instance is never destroyed: workers may outlive static destructors.
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
  if (tasks <= 1 || threads <= 1) {
    for (int64_t i = 0; i < tasks; ++i) task(i);
    return;
  }
  State& s = state();
  if (s.mutex.try_lock()) {
    const std::lock_guard lock(s.mutex, std::adopt_lock);
    if (s.pool && s.pool->workers() != threads - 1) {
      s.pool->retire();
      s.pool = nullptr;
    }
    if (!s.pool) s.pool = Pool::make(threads - 1);
    s.pool->run(tasks, task);
    return;
  }
  // Another thread has the pool. Nested ops must see one thread here too, as they would inside it.
  struct Inside {
    Inside() { in_task = true; }
    ~Inside() { in_task = false; }
  } const inside;
  for (int64_t i = 0; i < tasks; ++i) task(i);
}

}  // namespace pyllm
