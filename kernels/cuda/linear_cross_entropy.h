// The vocabulary projection and its loss, a chunk of rows at a time, so that the logits are never
// all in memory. Matrix products are the caller's business: it hands in a function.
#pragma once

#include <cstdint>

// c (m, n) = *alpha a b + *beta c. All matrices are row-major, rows `row_stride` elements apart; a
// is (m, k), or (k, m) where transposed, b (k, n) or (n, k). Sums are taken in float32. dtypes: a
// and b alike; c like them, or float32. alpha and beta are on the device.
struct CudaProduct {
  const void* a;
  const void* b;
  void* c;
  const float* alpha;
  const float* beta;
  int64_t m, n, k;
  int64_t a_row_stride, b_row_stride, c_row_stride;
  int32_t a_transposed, b_transposed;
  int32_t dtype, c_dtype;
};

// Queues a product on a stream; returns a cudaError_t. `context` is the caller's own.
typedef int (*CudaProductFunction)(void* context, const CudaProduct* product, void* stream);

struct LinearCrossEntropy;
// Queues other kernels for the losses of rows [begin, begin + rows), whose logits stand in the
// workspace, and for their gradient in its place where args->dhidden is given. Returns a
// cudaError_t; cudaErrorNotSupported leaves these rows to the kernels here.
typedef int (*CudaLossFunction)(void* context, const LinearCrossEntropy* args, int64_t begin,
                                int64_t rows, void* stream);

// losses of hidden weight^T + bias, and, where dhidden is given, grad_scale times the gradients of
// their sum or mean. `totals` come from pyllm_cuda_cross_entropy_totals, the loss from
// pyllm_cuda_cross_entropy_reduce. 16-bit arrays are of `dtype`; logits are float32 whatever it is,
// and their gradient takes their place: float32, or `dtype` in the first half of each row, so that
// the products back run on tensor cores. It is scaled only in those products: it does not
// underflow.
struct LinearCrossEntropy {
  const void* hidden;        // (rows, width)
  const void* weight;        // (n, width)
  const void* bias;          // (n,), or null
  const void* targets;       // (rows,)
  const void* class_weight;  // (n,), or null
  const float* totals;
  float* losses;      // (rows,)
  void* dhidden;      // (rows, width), or null for the losses alone
  void* dweight;      // (n, width)
  void* dbias;        // (n,), or null
  float* logits;      // workspace of chunk_rows * logits_row_stride, aligned to 16 bytes
  float* scales;      // workspace of 3
  float* sums;        // workspace (n, width), where dweight is of 16 bits and chunk_rows < rows
  float* dbias_sums;  // workspace (n,), where there is a dbias
  int64_t rows, width, n, chunk_rows;
  int64_t logits_row_stride;                                         // at least n, a multiple of 8
  int64_t hidden_row_stride, weight_row_stride, dhidden_row_stride;  // dweight is contiguous
  int64_t ignore_index;
  float label_smoothing, z_loss, grad_scale;
  int32_t mean;                   // of the targets' weights: scale by 1 / totals[0]
  int32_t accumulate;             // add to what dweight and dbias hold
  int32_t dtype, gradient_dtype;  // of dweight and dbias: dtype, or float32
  int32_t target_dtype;
};
