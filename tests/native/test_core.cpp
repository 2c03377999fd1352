#include <atomic>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "core/philox.h"
#include "core/transient.h"

using namespace pyllm;

TEST(every_task_runs_once) {
  for (int round = 0; round < 200; ++round) {
    const int tasks = 1 + round % 17;
    std::vector<std::atomic<int>> runs(tasks);
    parallel_tasks(tasks, [&](int64_t i) { runs[i].fetch_add(1); });
    for (auto& r : runs) CHECK(r.load() == 1);
  }
}

TEST(ranges_cover_without_overlap) {
  for (const int64_t n : {1, 2, 3, 5, 64, 1001}) {
    std::vector<int> seen(n);
    parallel_for(n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) ++seen[i];
    });
    for (const int s : seen) CHECK(s == 1);
  }
}

TEST(workers_wake_again) {
  std::atomic<int> runs{0};
  for (int round = 0; round < 100; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 3));
    parallel_tasks(8, [&](int64_t) { runs.fetch_add(1); });
  }
  CHECK(runs.load() == 800);
}

TEST(nested_and_concurrent_callers) {
  std::atomic<int64_t> total{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        parallel_tasks(8, [&](int64_t) {
          parallel_for(10, 1, [&](int64_t begin, int64_t end) { total += end - begin; });
        });
      }
    });
  }
  for (auto& c : callers) c.join();
  CHECK(total.load() == 4 * 50 * 8 * 10);
}

TEST(an_exception_reaches_the_caller) {
  bool caught = false;
  try {
    parallel_tasks(8, [](int64_t i) {
      if (i == 5) throw std::runtime_error("five");
    });
  } catch (const std::runtime_error& e) {
    caught = std::string(e.what()) == "five";
  }
  CHECK(caught);
  std::atomic<int> after{0};
  parallel_tasks(4, [&](int64_t) { ++after; });
  CHECK(after.load() == 4);
}

TEST(changing_the_thread_count) {
  for (const int n : {2, 3, 1, 4, 2, 4}) {
    set_num_threads(n);
    std::atomic<int> sum{0};
    parallel_tasks(16, [&](int64_t i) { sum += static_cast<int>(i); });
    CHECK(sum.load() == 120);
  }
}

TEST(blocks_are_aligned_reused_and_counted) {
  empty_cache();
  const MemoryStats before = memory_stats();
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{65}, size_t{4097}, size_t{3} << 20}) {
    void* first = allocate(bytes);
    CHECK(reinterpret_cast<uintptr_t>(first) % 64 == 0);
    std::memset(first, 1, bytes);
    deallocate(first);
    const uint64_t calls = memory_stats().system_calls;
    void* second = allocate(bytes);
    CHECK(memory_stats().system_calls == calls);
    deallocate(second);
  }
  CHECK(memory_stats().in_use == before.in_use);
  empty_cache();
  CHECK(memory_stats().cached == 0);
}

TEST(memory_needed_once_passes_the_cache) {
  const MemoryStats before = memory_stats();
  for (const size_t count : {size_t{0}, size_t{1}, size_t{1000}, size_t{1} << 20}) {
    Transient<int64_t> block(count);
    CHECK(reinterpret_cast<uintptr_t>(block.data()) % 64 == 0);
    for (size_t i = 0; i < count; ++i) block[i] = static_cast<int64_t>(i);
    Transient<int64_t> moved(std::move(block));
    block = Transient<int64_t>(3);
    CHECK(count == 0 || moved[count - 1] == static_cast<int64_t>(count) - 1);
  }
  CHECK(memory_stats().in_use == before.in_use);
  CHECK(memory_stats().cached == before.cached);
}

TEST(threads_share_the_allocator) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 300; ++i) {
        const size_t bytes = 100 + 37 * ((i * 7 + t) % 50);
        auto* block = static_cast<unsigned char*>(allocate(bytes));
        std::memset(block, t, bytes);
        CHECK(block[bytes - 1] == t);
        deallocate(block);
      }
    });
  }
  for (auto& t : threads) t.join();
}

// Known answers of the authors' Random123 (kat_vectors, philox4x32 10).
TEST(philox_known_answers) {
  const auto zeros = philox(0, 0, 0);
  CHECK(zeros[0] == 0x6627e8d5 && zeros[1] == 0xe169c58d && zeros[2] == 0xbc57ac4c &&
        zeros[3] == 0x9b00dbd8);
  const auto ones = philox(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0});
  CHECK(ones[0] == 0x408f276d && ones[1] == 0x41c83b0e && ones[2] == 0xa20bc7c6 &&
        ones[3] == 0x6d5451fd);
}
