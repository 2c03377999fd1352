// The loop over chunks: products by the caller's function, losses and gradients by kernels.
#include "launch.cuh"
#include "linear_cross_entropy.cuh"

namespace pyllm::cuda {
namespace {

bool valid(const LinearCrossEntropy& a) {
  return a.rows >= 0 && a.n >= 0 && a.width >= 0 && a.chunk_rows >= 1 &&
         a.chunk_rows <= kMaxGridX && a.logits_row_stride >= a.n && a.logits_row_stride % 8 == 0 &&
         rows_aligned<float>(a.logits, 0) && is_index_type(a.target_dtype) &&
         a.label_smoothing >= 0 && a.label_smoothing <= 1 && a.z_loss >= 0 &&
         (a.gradient_dtype == a.dtype || a.gradient_dtype == kFloat32);
}

unsigned blocks(int64_t n) {
  return static_cast<unsigned>((n + kLossColumnThreads - 1) / kLossColumnThreads);
}

template <class T>
class Chunks {
 public:
  Chunks(const LinearCrossEntropy& a, CudaProductFunction product, CudaLossFunction loss,
         void* context, cudaStream_t stream)
      : a_(a),
        product_(product),
        loss_(loss),
        context_(context),
        stream_(stream),
        // Partial sums in 16 bits would be rounded at every chunk.
        wide_sums_(a.dhidden != nullptr && a.gradient_dtype != kFloat32 && a.chunk_rows < a.rows) {}

  cudaError_t run() {
    check(PYLLM_LAUNCH(linear_cross_entropy_scales, dim3(1), dim3(dev::kWarpSize), 0, stream_, a_));
    for (int64_t begin = 0; begin < a_.rows; begin += a_.chunk_rows) {
      chunk(begin, a_.rows - begin < a_.chunk_rows ? a_.rows - begin : a_.chunk_rows);
    }
    if (a_.dhidden == nullptr) return error_;
    if (a_.rows == 0) {
      add({a_.dweight, nullptr, nullptr, a_.n * a_.width, a_.accumulate});
    } else if (wide_sums_) {
      add({a_.dweight, a_.sums, nullptr, a_.n * a_.width, a_.accumulate});
    }
    if (a_.dbias != nullptr) {
      add({a_.dbias, a_.rows > 0 ? a_.dbias_sums : nullptr, a_.scales, a_.n, a_.accumulate});
    }
    return error_;
  }

 private:
  void check(cudaError_t error) {
    if (error_ == cudaSuccess) error_ = error;
  }
  void multiply(const CudaProduct& product) {
    if (error_ != cudaSuccess) return;
    check(static_cast<cudaError_t>(product_(context_, &product, stream_)));
  }

  // Rows [begin, begin + count).
  void chunk(int64_t begin, int64_t count) {
    const T* hidden = static_cast<const T*>(a_.hidden) + begin * a_.hidden_row_stride;
    const float* zero = a_.scales + 1;
    const float* one = a_.scales + 2;
    multiply({hidden, a_.weight, a_.logits, one, zero, count, a_.n, a_.width, a_.hidden_row_stride,
              a_.weight_row_stride, a_.logits_row_stride, 0, 1, a_.dtype, kFloat32});
    losses(begin, count);
    if (a_.dhidden == nullptr) return;
    if (a_.dbias != nullptr) {
      constexpr int64_t kWide = sizeof(float) / sizeof(T);
      check(PYLLM_LAUNCH((linear_cross_entropy_columns<T>),
                         dim3(blocks((a_.n + kWide - 1) / kWide)), dim3(kLossColumnThreads), 0,
                         stream_, a_, count, begin == 0));
    }
    const int64_t gradient_stride = a_.logits_row_stride * int64_t{sizeof(float) / sizeof(T)};
    T* dhidden = static_cast<T*>(a_.dhidden) + begin * a_.dhidden_row_stride;
    multiply({a_.logits, a_.weight, dhidden, a_.scales, zero, count, a_.width, a_.n,
              gradient_stride, a_.weight_row_stride, a_.dhidden_row_stride, 0, 0, a_.dtype,
              a_.dtype});
    const bool add = begin > 0 || (a_.accumulate && !wide_sums_);
    multiply({a_.logits, hidden, wide_sums_ ? a_.sums : a_.dweight, a_.scales, add ? one : zero,
              a_.n, a_.width, count, gradient_stride, a_.hidden_row_stride, a_.width, 1, 0,
              a_.dtype, wide_sums_ ? kFloat32 : a_.gradient_dtype});
  }

  void losses(int64_t begin, int64_t count) {
    if (error_ == cudaSuccess && loss_ != nullptr) {
      const auto error = static_cast<cudaError_t>(loss_(context_, &a_, begin, count, stream_));
      if (error != cudaErrorNotSupported) return check(error);
    }
    const dim3 grid(static_cast<unsigned>(count)), block(kLinearLossThreads);
    check(a_.dhidden == nullptr ? PYLLM_LAUNCH((linear_cross_entropy_chunk<T, T, false>), grid,
                                               block, 0, stream_, a_, begin)
                                : PYLLM_LAUNCH((linear_cross_entropy_chunk<T, T, true>), grid,
                                               block, 0, stream_, a_, begin));
  }

  void add(const AddSums& sums) {
    if (sums.n == 0 || error_ != cudaSuccess) return;
    const dim3 grid(blocks(sums.n)), block(kLossColumnThreads);
    check(a_.gradient_dtype == kFloat32
              ? PYLLM_LAUNCH((add_sums<float>), grid, block, 0, stream_, sums)
              : PYLLM_LAUNCH((add_sums<T>), grid, block, 0, stream_, sums));
  }

  const LinearCrossEntropy& a_;
  CudaProductFunction product_;
  CudaLossFunction loss_;
  void* context_;
  cudaStream_t stream_;
  bool wide_sums_;
  cudaError_t error_ = cudaSuccess;
};

}  // namespace
}  // namespace pyllm::cuda

extern "C" cudaError_t pyllm_cuda_linear_cross_entropy(const LinearCrossEntropy* args,
                                                       CudaProductFunction product,
                                                       CudaLossFunction loss, void* context,
                                                       cudaStream_t stream) {
  using namespace pyllm::cuda;
  if (!valid(*args)) return cudaErrorInvalidValue;
  return with_type(args->dtype, [&](auto sample) -> cudaError_t {
    return Chunks<decltype(sample)>(*args, product, loss, context, stream).run();
  });
}
