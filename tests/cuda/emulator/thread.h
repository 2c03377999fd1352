// The state of the running grid: CUDA threads, warps and the block, as the parts of the emulator
// share it. One block runs at a time.
#pragma once

#include <array>
#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

#include "cuda_types.h"
#include "fiber.h"

namespace emu {

using Site = std::source_location;

struct SharedArray;

// An asynchronous copy that its thread has issued and not yet waited for.
struct AsyncCopy {
  SharedArray* array;
  unsigned char* target;
  const unsigned char* source;
  int bytes;       // read from source; the rest of the 16 are zeros
  uint64_t group;  // how many groups its thread had committed when it was issued
  Site site;
};

enum class ThreadState { ready, at_barrier, in_collective, done };

struct Thread {
  explicit Thread(void (*entry)()) : fiber(entry) {}

  Fiber fiber;
  uint3 index{};
  int linear = 0, warp = 0, lane = 0;
  ThreadState state = ThreadState::done;
  const char* waits_for = "";  // for the report of a deadlock
  Site waits_at;
  void* operand = nullptr;  // what it brings to a warp collective
  std::vector<AsyncCopy> copies;
  uint64_t committed_groups = 0;
};

// Lanes that have come to one warp collective and wait for the rest of its mask.
struct Rendezvous {
  uint32_t mask = 0, arrived = 0;
  const char* operation = "";
  Site site;
};

struct Warp {
  uint32_t existing = 0, exited = 0;
  std::vector<Rendezvous> open;
  std::array<Thread*, 32> lanes{};
  char fence[2] = {};  // the addresses that __syncwarp releases and acquires, in turn
  unsigned fence_phase = 0;
};

struct Block {
  std::string kernel;
  dim3 grid, size;
  uint3 index{};
  std::vector<Thread*> threads;
  std::vector<Warp> warps;
  int live = 0, at_barrier = 0;
  Site barrier_site;
  char fence[2] = {};
  unsigned fence_phase = 0;
};

enum class Order { forward, reverse, random, greedy };

struct Options {
  Order order = Order::forward;
  uint64_t seed = 0;
  bool count_traffic = false;
};

extern Options options;
extern Block block;
extern Thread* current;

// Gives the turn back to the scheduler until some other thread makes this one ready.
void wait(ThreadState state, const char* what, Site site);

// Says what went wrong, in which kernel, block, thread and source line, and ends the process.
[[noreturn]] void report(const char* kind, const std::string& what, Site site);
constexpr int kReportExitCode = 86;

}  // namespace emu
