#include "launch.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>

#include "memory.h"
#include "sanitizers.h"
#include "traffic.h"

namespace emu {

Options options;
Block block;
Thread* current = nullptr;

namespace {

constexpr unsigned kMaxThreads = 1024, kMaxGridX = 2147483647, kMaxGridYZ = 65535;
constexpr size_t kMaxSharedBytes = 163 << 10;  // what a block of sm_80 can opt in to

Fiber host;
const std::function<void()>* kernel_body;
char launch_fence[2];  // host -> threads at the start of a block, threads -> host at the end
std::mt19937_64 turns;

// A block runs on the fibers of its set, its neighbour on the other's. ThreadSanitizer takes a
// fiber for one thread, so a race between two blocks at the same thread index would be no race if
// both ran on the same fiber.
std::vector<std::unique_ptr<Thread>> fiber_sets[2];

[[noreturn]] void thread_entry() {
  Fiber::started(host);
  for (;;) {
    acquire(&launch_fence[0]);
    (*kernel_body)();
    release(&launch_fence[1]);
    if (!current->copies.empty()) {
      report("unwaited copy", "the thread exits with an asynchronous copy in flight",
             current->copies.front().site);
    }
    current->state = ThreadState::done;
    --block.live;
    block.warps[current->warp].exited |= 1u << current->lane;
    if (block.at_barrier > 0) {
      report("partial barrier", "the thread exits while others wait at __syncthreads",
             block.barrier_site);
    }
    for (const Rendezvous& r : block.warps[current->warp].open) {
      if (r.mask >> current->lane & 1) {
        report("warp mask", std::string(r.operation) + ": a lane of its mask exits instead",
               r.site);
      }
    }
    host.resume_from(current->fiber);
  }
}

void give_turn(Thread* t) {
  current = t;
  t->fiber.resume_from(host);
  current = nullptr;
}

bool run_if_ready(Thread* t) {
  if (t->state != ThreadState::ready) return false;
  give_turn(t);
  return true;
}

// Greedy: one warp runs as far as it can before the next gets a turn. A barrier that is missing
// between two phases of a loop gives right answers in the other orders.
bool run_greedily() {
  std::vector<size_t> warps(block.warps.size());
  std::iota(warps.begin(), warps.end(), size_t{0});
  std::shuffle(warps.begin(), warps.end(), turns);
  bool any = false;
  for (const size_t w : warps) {
    for (bool more = true; more;) {
      more = false;
      for (Thread* t : block.warps[w].lanes) more |= t != nullptr && run_if_ready(t);
      any |= more;
    }
  }
  return any;
}

bool run_round(std::vector<Thread*>& order) {
  if (options.order == Order::greedy) return run_greedily();
  if (options.order == Order::random) std::shuffle(order.begin(), order.end(), turns);
  bool any = false;
  for (Thread* t : order) any |= run_if_ready(t);
  return any;
}

void lay_out_threads(uint64_t block_number) {
  auto& set = fiber_sets[block_number % 2];
  const size_t count = size_t{block.size.x} * block.size.y * block.size.z;
  while (set.size() < count) set.push_back(std::make_unique<Thread>(thread_entry));
  block.threads.clear();
  block.warps.assign((count + 31) / 32, Warp{});
  for (size_t i = 0; i < count; ++i) {
    Thread* t = set[i].get();
    t->linear = static_cast<int>(i);
    t->warp = static_cast<int>(i / 32);
    t->lane = static_cast<int>(i % 32);
    t->index = {static_cast<unsigned>(i % block.size.x),
                static_cast<unsigned>(i / block.size.x % block.size.y),
                static_cast<unsigned>(i / block.size.x / block.size.y)};
    t->state = ThreadState::ready;
    t->committed_groups = 0;
    block.threads.push_back(t);
    block.warps[t->warp].existing |= 1u << t->lane;
    block.warps[t->warp].lanes[t->lane] = t;
#if defined(EMU_TSAN)
    t->fiber.name(("block (" + std::to_string(block.index.x) + "," + std::to_string(block.index.y) +
                   "," + std::to_string(block.index.z) + ") thread " + std::to_string(i))
                      .c_str());
#endif
  }
  block.live = static_cast<int>(count);
  block.at_barrier = 0;
}

void run_block(uint64_t block_number, size_t shared_bytes) {
  {
    const ForgetAccesses forget;
    lay_out_threads(block_number);
  }
  begin_block(shared_bytes);
  release(&launch_fence[0]);
  std::vector<Thread*> order = block.threads;
  if (options.order == Order::reverse) std::reverse(order.begin(), order.end());
  while (block.live > 0) {
    if (!run_round(order)) {
      current = block.threads[0];
      for (Thread* t : block.threads) {
        if (t->state != ThreadState::done) current = t;
      }
      report("deadlock",
             std::string("no thread can go on; this one waits at ") + current->waits_for,
             current->waits_at);
    }
  }
  end_block();
  traffic::end_block();
}

bool valid_configuration(dim3 grid, dim3 size, size_t shared_bytes) {
  const uint64_t threads = uint64_t{size.x} * size.y * size.z;
  return grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= kMaxGridX && grid.y <= kMaxGridYZ &&
         grid.z <= kMaxGridYZ && threads >= 1 && threads <= kMaxThreads && size.z <= 64 &&
         shared_bytes <= kMaxSharedBytes;
}

}  // namespace

void wait(ThreadState state, const char* what, Site site) {
  current->state = state;
  current->waits_for = what;
  current->waits_at = site;
  Thread* self = current;
  host.resume_from(self->fiber);
}

void block_barrier(Site site) {
  char* fence = &block.fence[block.fence_phase % 2];
  release(fence);
  if (block.at_barrier == 0) {
    block.barrier_site = site;
  } else if (block.barrier_site.line() != site.line() ||
             block.barrier_site.file_name() != site.file_name()) {
    report("divergent barrier", "threads of a block wait at different __syncthreads", site);
  }
  if (block.live != static_cast<int>(block.threads.size())) {
    report("partial barrier", "__syncthreads after a thread of the block has exited", site);
  }
  if (++block.at_barrier == block.live) {
    traffic::barrier();
    block.at_barrier = 0;
    ++block.fence_phase;
    for (Thread* t : block.threads) {
      if (t->state == ThreadState::at_barrier) t->state = ThreadState::ready;
    }
  } else {
    wait(ThreadState::at_barrier, "__syncthreads", site);
  }
  acquire(fence);
}

cudaError_t run_grid(const std::string& kernel, dim3 grid, dim3 block_size, size_t shared_bytes,
                     const std::function<void()>& body) {
  if (!valid_configuration(grid, block_size, shared_bytes)) return cudaErrorInvalidConfiguration;
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  host.adopt_host();
  block.kernel = kernel;
  block.grid = grid;
  block.size = block_size;
  kernel_body = &body;
  turns.seed(options.seed);
  traffic::begin_kernel(shared_bytes);
  uint64_t number = 0;
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        block.index = {x, y, z};
        run_block(number++, shared_bytes);
      }
    }
  }
  acquire(&launch_fence[1]);
  return cudaSuccess;
}

}  // namespace emu
