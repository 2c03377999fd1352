// Feature values to bin numbers, and gradients to integers: what tree growing starts from.
#pragma once

#include <cstdint>

// A value's code is the number of its feature's cuts below it; NaN gets the code after the last
// bin. x (rows, features), float32 or float64, any strides. Codes are of one byte, or two where
// `wide`, in either layout or both:
struct TreeBins {
  const void* x;
  const double* cuts;         // of all features, rising within each
  const int64_t* cut_offset;  // (features + 1): where each feature's cuts start
  void* by_row;               // (rows, features), rows by_row_stride apart; or null
  void* by_column;            // (features, rows), columns by_column_stride apart; or null
  int64_t rows, features, x_row_stride, x_column_stride, by_row_stride, by_column_stride;
  int32_t x_float64, wide;
};

// quantized[r] = gradient * 2^a and hessian * 2^b rounded to 32-bit integers, whose sums do not
// depend on the order of rows. a and b are set by the largest magnitudes so that the sums of 8,192
// rows fit 32 bits, as the CPU's engine chooses them.
struct TreeGradients {
  const float* gradient;  // of row r at [r * stride]
  const float* hessian;
  const int32_t* rows;  // (count,): the rows that take part, or null for all
  int32_t* quantized;   // (rows, 2)
  uint32_t* largest;    // (2,): bits of the largest magnitudes; 0x7F800000 or more: not finite
  double* units;        // (2,): what an integer 1 of either stands for
  int64_t* sums;        // (6,): of gradient, hessian, their magnitudes; least and most hessian
  int64_t count, stride;
  uint64_t seed, stream;
  int32_t stochastic;  // round up with the probability of the fraction (Philox), else to nearest
};
