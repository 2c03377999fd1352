#pragma once

#include <cstdint>

#include "core/isa.h"

namespace pyllm {

// The losses whose gradient at a row depends on that row alone; `parameter` is Huber's delta, the
// quantile's level and Tweedie's variance power.
enum class RowLossKind { squared, absolute, huber, quantile, poisson, gamma, tweedie, logistic };

// gradient and hessian of w loss(y, margin) in the margin, for n rows.
struct RowGradientArgs {
  RowLossKind loss = RowLossKind::squared;
  double parameter = 0.0;
  const double* margin = nullptr;
  const double* target = nullptr;
  const double* weight = nullptr;  // may be null: all ones
  float* gradient = nullptr;
  float* hessian = nullptr;
  int64_t n = 0;
};

// The same for softmax cross-entropy. margin, gradient and hessian: (classes, n), a class a row,
// since every class has a tree of its own; target in [0, classes).
struct SoftmaxGradientArgs {
  const double* margin = nullptr;
  const int32_t* target = nullptr;
  const double* weight = nullptr;
  float* gradient = nullptr;
  float* hessian = nullptr;
  int64_t n = 0, classes = 0;
};

enum class RankGain { ndcg, map };

// LambdaRank over queries: rows [query_offset[q], query_offset[q + 1]) compete with each other.
struct RankGradientArgs {
  RankGain gain = RankGain::ndcg;
  const double* margin = nullptr;
  const double* relevance = nullptr;  // in [0, 60]
  const int64_t* query_offset = nullptr;
  const double* query_weight = nullptr;  // may be null
  float* gradient = nullptr;
  float* hessian = nullptr;
  int64_t queries = 0;
  double sigmoid = 1.0;
  int64_t truncation = 0;  // pairs have one row at least among so many best
  bool normalize = true;
};

PYLLM_KERNEL(row_gradient, (const RowGradientArgs& args));
PYLLM_KERNEL(softmax_gradient, (const SoftmaxGradientArgs& args));
PYLLM_KERNEL(rank_gradient, (const RankGradientArgs& args));

}  // namespace pyllm
