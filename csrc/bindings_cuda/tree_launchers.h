// The entry points of kernels/cuda/tree_*; see launchers.h.
#pragma once

#include <cuda_runtime.h>

#include "copy.h"
#include "tree_bins.h"
#include "tree_derivatives.h"
#include "tree_histogram.h"
#include "tree_leaves.h"
#include "tree_partition.h"
#include "tree_predict.h"
#include "tree_rows.h"
#include "tree_split.h"

extern "C" {
cudaError_t pyllm_cuda_strided_copy(const StridedCopy*, cudaStream_t);
cudaError_t pyllm_cuda_tree_add_leaf_values(const TreeAddLeafValues*, cudaStream_t);
cudaError_t pyllm_cuda_tree_bins(const TreeBins*, cudaStream_t);
cudaError_t pyllm_cuda_tree_children(const TreeChildren*, cudaStream_t);
cudaError_t pyllm_cuda_tree_copy_rows(const TreeCopyRows*, cudaStream_t);
cudaError_t pyllm_cuda_tree_derivatives(const TreeDerivatives*, cudaStream_t);
cudaError_t pyllm_cuda_tree_find_leaves(const TreeFindLeaves*, cudaStream_t);
cudaError_t pyllm_cuda_tree_gradients(const TreeGradients*, cudaStream_t);
cudaError_t pyllm_cuda_tree_histogram(const TreeHistogram*, cudaStream_t);
cudaError_t pyllm_cuda_tree_leaf_sums(const TreeLeafSums*, cudaStream_t);
cudaError_t pyllm_cuda_tree_partition(const TreePartition*, cudaStream_t);
cudaError_t pyllm_cuda_tree_predict(const TreePredict*, cudaStream_t);
cudaError_t pyllm_cuda_tree_softmax_derivatives(const TreeSoftmaxDerivatives*, cudaStream_t);
cudaError_t pyllm_cuda_tree_split(const TreeSplit*, cudaStream_t);
cudaError_t pyllm_cuda_tree_subtract(const TreeSubtract*, cudaStream_t);
}
