// The one thread pool of pyllm.
//
// Why not OpenMP: a libgomp pool does not survive fork() (a child that enters a parallel region
// hangs), ThreadSanitizer cannot see its barriers, and up to three copies of libgomp meet in one
// process (torch's, scikit-learn's, the system's). This pool is rebuilt lazily in a forked child
// and hands out tasks in an order that never changes what a task computes, so results are bitwise
// the same run to run at a given thread count. BLAS runs single-threaded inside these tasks.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace pyllm {

// A borrowed callable: two pointers, no allocation. Must not outlive what it was made from.
template <class Signature>
class FunctionRef;

template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  template <class F, class = std::enable_if_t<!std::is_same_v<std::remove_cvref_t<F>, FunctionRef>>>
  FunctionRef(F&& f)  // NOLINT(google-explicit-constructor): meant to bind lambdas in place
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(args...);
        }) {}
  FunctionRef(void* object, R (*call)(void*, Args...)) : object_(object), call_(call) {}

  R operator()(Args... args) const { return call_(object_, args...); }
  void* object() const { return object_; }
  auto call() const { return call_; }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

// Threads that kernels may use: OMP_NUM_THREADS if set, else the CPUs this process may run on.
int num_threads();
void set_num_threads(int n);

// Runs task(i) for every i in [0, tasks), several at a time, each exactly once; returns when all
// are done. Called from inside a task, or while another thread uses the pool, it runs them one
// after the other on the caller. The first exception a task throws is rethrown here.
void parallel_tasks(int64_t tasks, FunctionRef<void(int64_t)> task);

// Splits [0, n) into at most num_threads() contiguous ranges of at least `grain` items and runs
// body(begin, end) on each. The split depends on n, grain and the thread count alone.
inline void parallel_for(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  if (n <= 0) return;
  const int64_t by_grain = grain > 0 ? (n + grain - 1) / grain : n;
  const int64_t ranges = by_grain < num_threads() ? by_grain : num_threads();
  if (ranges <= 1) {
    body(0, n);
    return;
  }
  parallel_tasks(ranges, [&](int64_t i) {
    const int64_t begin = i * (n / ranges) + (i < n % ranges ? i : n % ranges);
    body(begin, begin + n / ranges + (i < n % ranges ? 1 : 0));
  });
}

}  // namespace pyllm
