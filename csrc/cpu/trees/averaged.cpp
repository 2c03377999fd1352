#include "cpu/trees/averaged.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <thread>
#include <utility>

#include "core/parallel.h"
#include "core/scratch.h"
#include "cpu/trees/grow_nodes.h"
#include "cpu/trees/node_values.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kGrain = 1 << 14;  // rows that a thread prepares at least

// The rows of one tree and what they weigh.
struct Sample {
  Scratch<int32_t> counts, rows;
  Scratch<double> weight;
  int64_t count = 0;

  Sample(const AveragedInput& in, int64_t tree) {
    const int64_t n = in.bins->rows;
    if (!in.bootstrap) {
      count = n;
      return;
    }
    if (!in.drawn) counts = Scratch<int32_t>(n);
    int32_t* drawn = in.drawn ? in.drawn + tree * n : counts.data();
    in.bootstrap->draw(in.seeds[tree], drawn);
    rows = Scratch<int32_t>(n + 1);
    weight = Scratch<double>(n);
    for (int64_t row = 0; row < n; ++row) {
      rows[count] = static_cast<int32_t>(row);
      count += drawn[row] > 0;
      weight[row] = drawn[row];
    }
  }
};

FinishedTree grow_one(const AveragedInput& in, const GrowOptions& options, int64_t number,
                      Checkpoint checkpoint) {
  const int64_t n = in.bins->rows, k = in.outputs;
  const Sample sample(in, number);
  const double* weight = in.bootstrap ? sample.weight.data() : in.weight;
  const Scratch<float> gradient(n * k), hessian(n * k);
  parallel_for(sample.count, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = in.bootstrap ? sample.rows[i] : i;
      const auto w = static_cast<float>(weight ? weight[row] : 1.0);
      for (int64_t o = row * k; o < (row + 1) * k; ++o) {
        gradient[o] = -in.target[o] * w;
        hessian[o] = w;
      }
    }
  });
  GrowInput input;
  input.bins = in.bins;
  input.gradient = gradient.data();
  input.hessian = hessian.data();
  input.row_stride = k;
  input.outputs = in.outputs;
  input.rows = sample.rows.data();
  input.count = sample.count;
  input.seed = in.seeds[number];
  const Shared shared(input, options);
  FinishedTree tree;
  tree.grown = grow_nodes(shared, checkpoint);
  const size_t nodes = tree.grown.nodes.size();
  tree.value = Scratch<double>(nodes * k);
  tree.cover = Scratch<double>(nodes);
  const int32_t* rows = shared.rows.data();
  fill_means({in.columns, weight, in.outputs}, rows, tree.grown.nodes, tree.value.data(),
             tree.cover.data());
  if (in.leaf_of_row) fill_leaves(input, rows, tree.grown, in.leaf_of_row + number * n);
  return tree;
}

struct Stopped {};

}  // namespace

void grow_averaged(const AveragedInput& in, const GrowOptions& options,
                   FunctionRef<void(int64_t)> checkpoint, JoinedTrees& trees) {
  const auto count = static_cast<int64_t>(in.seeds.size());
  std::atomic<int64_t> finished{0}, highest{-1};
  std::atomic<bool> stopped{false};
  std::exception_ptr error;  // of the checkpoint
  const auto caller = std::this_thread::get_id();
  // Trees are begun in order: those before one that is done are finished, or that one were lost.
  const auto inside = [&](int64_t t) {
    if (!stopped && std::this_thread::get_id() == caller) {
      try {
        checkpoint(finished);
      } catch (...) {
        error = std::current_exception();
        stopped = true;
      }
    }
    if (stopped && t > highest) throw Stopped{};
  };
  const auto grow = [&](int64_t t) {
    const auto here = [&] { inside(t); };
    here();
    FinishedTree tree = grow_one(in, options, t, here);
    for (int64_t h = highest; h < t && !highest.compare_exchange_weak(h, t);) {
    }
    trees.put(t, std::move(tree));
    ++finished;
  };
  try {
    if (2 * count > num_threads()) {
      parallel_tasks(count, grow);
    } else {
      for (int64_t t = 0; t < count; ++t) grow(t);
    }
  } catch (const Stopped&) {
    // The checkpoint's error says why.
  }
  trees.finish();
  if (error) std::rethrow_exception(error);
  checkpoint(count);
}

}  // namespace pyllm::trees
