// The entry points of kernels/cuda. Each queues its kernels on a stream and returns
// cudaErrorInvalidValue for arguments that its header does not allow.
#pragma once

#include <cuda_runtime.h>

#include "activation.h"
#include "adafactor.h"
#include "adamw.h"
#include "argmax.h"
#include "attention.h"
#include "attention_decode.h"
#include "blockwise.h"
#include "copy.h"
#include "cross_entropy.h"
#include "dropout.h"
#include "dtype.h"
#include "embedding.h"
#include "gather.h"
#include "gradient_norm.h"
#include "linear_cross_entropy.h"
#include "lion.h"
#include "norm.h"
#include "pointwise.h"
#include "reduction.h"
#include "rotary.h"
#include "sgd.h"
#include "softmax.h"

extern "C" {
cudaError_t pyllm_cuda_activation_forward(const ActivationForward*, cudaStream_t);
cudaError_t pyllm_cuda_activation_backward(const ActivationBackward*, cudaStream_t);
cudaError_t pyllm_cuda_adafactor_step(const AdafactorStep*, cudaStream_t);
cudaError_t pyllm_cuda_adamw_step(const AdamWStep*, cudaStream_t);
cudaError_t pyllm_cuda_attention_forward(const Attention*, cudaStream_t);
cudaError_t pyllm_cuda_attention_backward(const AttentionBackward*, cudaStream_t);
cudaError_t pyllm_cuda_attention_bias_backward(const AttentionBackward*, cudaStream_t);
cudaError_t pyllm_cuda_attention_decode(const AttentionDecode*, cudaStream_t);
cudaError_t pyllm_cuda_blockwise_quantize(const BlockwiseQuantize*, cudaStream_t);
cudaError_t pyllm_cuda_blockwise_dequantize(const BlockwiseDequantize*, cudaStream_t);
cudaError_t pyllm_cuda_cross_entropy_totals(const CrossEntropyTotals*, cudaStream_t);
cudaError_t pyllm_cuda_cross_entropy_forward(const CrossEntropyForward*, cudaStream_t);
cudaError_t pyllm_cuda_cross_entropy_reduce(const CrossEntropyReduce*, cudaStream_t);
cudaError_t pyllm_cuda_cross_entropy_backward(const CrossEntropyBackward*, cudaStream_t);
cudaError_t pyllm_cuda_dropout(const Dropout*, cudaStream_t);
cudaError_t pyllm_cuda_embedding_forward(const EmbeddingForward*, cudaStream_t);
cudaError_t pyllm_cuda_embedding_backward(const EmbeddingBackward*, cudaStream_t);
cudaError_t pyllm_cuda_extremum_places(const ExtremumPlaces*, cudaStream_t);
cudaError_t pyllm_cuda_glu_forward(const GluForward*, cudaStream_t);
cudaError_t pyllm_cuda_glu_backward(const GluBackward*, cudaStream_t);
cudaError_t pyllm_cuda_gradient_norm(const GradientNorm*, cudaStream_t);
cudaError_t pyllm_cuda_linear_cross_entropy(const LinearCrossEntropy*, CudaProductFunction,
                                            CudaLossFunction, void* context, cudaStream_t);
cudaError_t pyllm_cuda_lion_step(const LionStep*, cudaStream_t);
cudaError_t pyllm_cuda_norm_forward(const NormForward*, cudaStream_t);
cudaError_t pyllm_cuda_norm_backward(const NormBackward*, cudaStream_t);
cudaError_t pyllm_cuda_pointwise(const Pointwise*, cudaStream_t);
cudaError_t pyllm_cuda_pointwise_cast(const PointwiseCast*, cudaStream_t);
cudaError_t pyllm_cuda_reduction(const Reduction*, cudaStream_t);
cudaError_t pyllm_cuda_rotary(const Rotary*, cudaStream_t);
cudaError_t pyllm_cuda_sgd_step(const SgdStep*, cudaStream_t);
cudaError_t pyllm_cuda_rows_by_number(const RowsByNumber*, cudaStream_t);
cudaError_t pyllm_cuda_softmax_forward(const SoftmaxForward*, cudaStream_t);
cudaError_t pyllm_cuda_softmax_backward(const SoftmaxBackward*, cudaStream_t);
cudaError_t pyllm_cuda_strided_copy(const StridedCopy*, cudaStream_t);
}
