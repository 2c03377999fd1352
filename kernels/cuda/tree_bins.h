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
  uint32_t* missing;          // (features,): set to 1 where a row has NaN; or null
  int64_t rows, features, x_row_stride, x_column_stride, by_row_stride, by_column_stride;
  int32_t x_float64, wide;
};

// Gradients and hessians of one or more outputs as integers, gradient * 2^a and hessian * 2^b
// rounded, whose sums do not depend on the order of rows. a and b are set by the largest magnitudes
// of all outputs, as the CPU's engine sets them: so that the sums of 8,192 rows fit 32 bits, or,
// `wide`, those of all rows 62. Wide ones are for gradients of which a few are so large that too
// few bits are left for the others: where 512 times sums[0] is below rows * outputs * 2^(bits - 1),
// or sums[1] is, with bits = tree_gradient_bits(count). With `levels` the largest magnitude becomes
// that many instead: quantised training (Shi et al., NeurIPS 2022) rounds to 7, up or down at
// random.
struct TreeGradients {
  const float* gradient;  // of row r and output o at [r * row_stride + o * output_stride]
  const float* hessian;
  const int32_t* rows;  // (count,): the rows that take part, or null for all
  void* quantized;      // (outputs, all_rows, 2): int32, or int64 where wide
  uint32_t* largest;    // (2,): bits of the largest magnitudes; 0x7F800000 or more: not finite
  double* units;        // (2,): what an integer 1 of either stands for
  int64_t* totals;      // (outputs, 2): sums of gradient and hessian
  int64_t* sums;        // (4,): of the magnitudes of both; the least and the most hessian of a row
  int64_t count, all_rows, outputs, row_stride, output_stride;
  uint64_t seed, stream;  // of output 0; the next outputs' streams follow
  int32_t stochastic;     // round up with the probability of the fraction, else to nearest
  int32_t levels;         // or 0
  int32_t wide;
};

// The bits that a magnitude is given where sums of rows must fit 32.
inline int tree_gradient_bits(int64_t count) {
  const int64_t block = count < 1 ? 1 : count < 8192 ? count : 8192;
  int bits = 0;
  while ((int64_t{1} << 31) / block >> (bits + 1) != 0) ++bits;
  return (bits < 24 ? bits : 24) - 1;
}
