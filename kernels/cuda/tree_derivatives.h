// First and second derivatives of the losses of boosting: those of csrc/cpu/trees/objective.cpp, to
// the bit.
#pragma once

#include <cstdint>

// The losses, numbered as the CPU's RowLossKind.
enum TreeLoss : int32_t {
  kTreeSquared,
  kTreeAbsolute,
  kTreeHuber,
  kTreeQuantile,
  kTreePoisson,
  kTreeGamma,
  kTreeTweedie,
  kTreeLogistic,
  kTreeLosses
};

// Of weight times the loss, in the margin. `parameter` is Huber's delta, the quantile's level and
// Tweedie's variance power.
struct TreeDerivatives {
  const double* margin;  // (rows,), and so are all others
  const double* target;
  const double* weight;  // or null: all ones
  float* gradient;
  float* hessian;
  int64_t rows;
  double parameter;
  int32_t loss;
};

// Softmax cross-entropy. margin, gradient and hessian: (classes, rows).
struct TreeSoftmaxDerivatives {
  const double* margin;
  const int32_t* target;  // (rows,), in [0, classes): a row of another has NaN derivatives
  const double* weight;   // (rows,), or null
  float* gradient;
  float* hessian;
  int64_t rows, classes;
};
