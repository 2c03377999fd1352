// Launcher of Adafactor: lays out the workspace, and launches the passes of a table of tensors.
#include "adafactor.cuh"
#include "launch.cuh"
#include "update_launch.cuh"

namespace pyllm::cuda {
namespace {

// Cuts arrays off the workspace; with a null base it only measures.
class Workspace {
 public:
  explicit Workspace(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* take(int64_t n) {
    T* taken = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + bytes_);
    constexpr int64_t kAlignment = 16;
    bytes_ += (n * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
    return taken;
  }
  int64_t bytes() const { return bytes_; }

 private:
  char* base_;
  int64_t bytes_ = 0;
};

int64_t size_of(const AdafactorTensor& t) {
  return t.batches * t.rows * t.cols;
}

bool valid(const AdafactorTensor& t) {
  const bool counts = t.batches >= 0 && t.rows >= 0 && t.cols >= 0;
  const bool factors = t.row != nullptr && t.col != nullptr;
  return counts &&
         (t.square != nullptr ? t.batches == 1 && t.rows == 1 : factors || size_of(t) == 0);
}

AdafactorEntry entry_of(const AdafactorTensor& t, Workspace& workspace) {
  AdafactorEntry e{};
  e.t = t;
  const auto parts = [](int64_t n, int64_t size) { return (n + size - 1) / size; };
  if (t.square != nullptr) {
    e.tiles = parts(t.cols, kTileElements);
  } else {
    e.row_tiles = parts(t.rows, kTileRows);
    e.slabs = parts(t.cols, kTileColumns);
    e.tiles = t.batches * e.row_tiles * e.slabs;
    e.row_parts = workspace.take<float>(t.batches * t.rows * e.slabs);
    e.column_parts = workspace.take<float>(t.batches * e.row_tiles * t.cols);
    e.means = workspace.take<float>(t.batches);
  }
  e.sums = workspace.take<double>(2 * e.tiles);
  e.rates = workspace.take<float>(2);
  const auto address = [](const void* p) { return reinterpret_cast<uintptr_t>(p); };
  const uintptr_t addresses = address(t.param) | address(t.grad) | address(t.master) |
                              address(t.exp_avg) | address(t.square);
  e.aligned = addresses % 16 == 0 && (t.square != nullptr || t.cols % kLaneColumns == 0);
  return e;
}

// Passes over the tables that all tensors of a step fill.
template <class P, class G>
class Passes {
 public:
  Passes(const AdafactorStep& a, cudaStream_t stream) : stream_(stream) {
    batch_.grad_scale = a.grad_scale;
    batch_.grad_factor = static_cast<float>(a.grad_factor);
    batch_.beta1 = static_cast<float>(a.beta1);
    batch_.beta2 = static_cast<float>(a.beta2);
    batch_.rest2 = static_cast<float>(1.0 - a.beta2);
    batch_.eps = static_cast<float>(a.eps);
    batch_.least_rms = static_cast<float>(a.least_rms);
    batch_.lr = static_cast<float>(a.lr);
    batch_.decay = static_cast<float>(a.weight_decay);
    batch_.clip_threshold = static_cast<float>(a.clip_threshold);
    batch_.scale_parameter = a.scale_parameter;
  }

  cudaError_t add(const AdafactorEntry& e) {
    batch_.entries[batch_.count++] = e;
    return batch_.count == kAdafactorTensors ? run() : cudaSuccess;
  }

  cudaError_t run() {
    if (batch_.count == 0) return cudaSuccess;
    constexpr int kThreads = kAdafactorThreads;
    const auto tiles = [](const AdafactorEntry& e) { return e.tiles; };
    const auto factored = [](auto&& blocks) {
      return [=](const AdafactorEntry& e) { return e.t.square == nullptr ? blocks(e) : 0; };
    };
    const auto states = [](const AdafactorEntry& e) {
      return (e.t.batches * (e.t.rows + e.t.cols) + kThreads - 1) / kThreads;
    };
    const auto matrices = [](const AdafactorEntry& e) { return e.t.batches; };
    const auto one = [](const AdafactorEntry&) { return int64_t{1}; };
    const dim3 block(kThreads);
    pass(tiles, [&](dim3 grid) {
      return PYLLM_LAUNCH((adafactor_sums<P, G>), grid, block, 0, stream_, batch_);
    });
    pass(factored(states), [&](dim3 grid) {
      return PYLLM_LAUNCH((adafactor_states<P, G>), grid, block, 0, stream_, batch_);
    });
    pass(factored(matrices), [&](dim3 grid) {
      return PYLLM_LAUNCH((adafactor_means<kThreads>), grid, block, 0, stream_, batch_);
    });
    pass(factored(tiles), [&](dim3 grid) {
      return PYLLM_LAUNCH((adafactor_updates<P, G>), grid, block, 0, stream_, batch_);
    });
    pass(one, [&](dim3 grid) {
      return PYLLM_LAUNCH((adafactor_rates<kThreads>), grid, block, 0, stream_, batch_);
    });
    pass(tiles, [&](dim3 grid) {
      return PYLLM_LAUNCH((adafactor_apply<P, G>), grid, block, 0, stream_, batch_);
    });
    batch_.count = 0;
    return error_;
  }

 private:
  // blocks(entry): how many of the pass's blocks an entry takes.
  template <class Blocks, class Launch>
  void pass(Blocks&& blocks, Launch&& launch) {
    int64_t total = 0;
    for (int i = 0; i < batch_.count; ++i) {
      total += blocks(batch_.entries[i]);
      if (total > kMaxGridX) error_ = cudaErrorInvalidValue;
      batch_.first_block[i + 1] = static_cast<int32_t>(total);
    }
    if (error_ != cudaSuccess || total == 0) return;
    error_ = launch(dim3(static_cast<unsigned>(total)));
  }

  AdafactorBatch batch_{};
  cudaStream_t stream_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_adafactor_step(const AdafactorStep* args, cudaStream_t stream) {
  using namespace pyllm::cuda;
  const AdafactorStep& a = *args;
  if (a.count < 0 || !(a.clip_threshold > 0)) return cudaErrorInvalidValue;
  return with_storage(a.param_dtype, a.grad_dtype, [&](auto param, auto grad) -> cudaError_t {
    using P = decltype(param);
    using G = decltype(grad);
    Workspace workspace(a.workspace_bytes != nullptr ? nullptr : a.workspace);
    Passes<P, G> passes(a, stream);
    for (int64_t i = 0; i < a.count; ++i) {
      if (!valid(a.tensors[i])) return cudaErrorInvalidValue;
      if (size_of(a.tensors[i]) == 0) continue;
      const AdafactorEntry entry = entry_of(a.tensors[i], workspace);
      if (a.workspace_bytes != nullptr) continue;
      if (const cudaError_t error = passes.add(entry); error != cudaSuccess) return error;
    }
    if (a.workspace_bytes == nullptr) return passes.run();
    *a.workspace_bytes = workspace.bytes();
    return cudaSuccess;
  });
}
