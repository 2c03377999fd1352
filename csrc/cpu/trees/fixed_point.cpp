// How many bits a gradient gets.
//
// Packed sums of `block` rows must fit 32 bits: with blocks of 8192 rows that leaves 18 bits and a
// sign a row, more where there are fewer rows. The scale is a power of two set by the largest
// magnitude. Where a few outliers set it (largest > 512 times the mean), too few bits would be left
// for the others, and the tree is grown with unpacked 64-bit sums, 40 bits a row or more.
//
// Quantised training (Shi et al., "Quantized Training of Gradient Boosting Decision Trees", NeurIPS
// 2022) rounds to 15 levels instead, up or down at random so that the expectation stays, and sums
// 16 + 16 bits, of many rows 32 + 32; leaf values come from the gradients as they were given in any
// case.
#include "cpu/trees/fixed_point.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <string>

#include "cpu/trees/sampling.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kBlock = 8192;
constexpr int64_t kOutlier = 512;
constexpr int64_t kFewLevels = 7;  // of a quantised magnitude, besides 0
constexpr uint32_t kNotFinite = 0x7F800000u;

size_t word_bytes(Packing packing) {
  return with_word(packing, [](auto word) { return sizeof word; });
}

int bits_below(int64_t limit) {
  return 63 - std::countl_zero(static_cast<uint64_t>(limit));
}

// The power of two that brings `largest` just below 2^bits.
double scale_for(float largest, int bits) {
  if (largest == 0) return 1.0;
  int exponent;
  std::frexp(largest, &exponent);
  return std::ldexp(1.0, bits - exponent);
}

struct Limits {
  float gradient = 0, hessian = 0;
};

Limits limits_of(const std::vector<Gradients>& outputs) {
  Magnitudes most;
  for (const Gradients& in : outputs) {
    Magnitudes m;
    tree_magnitudes(in, m);
    most.gradient = std::max(most.gradient, m.gradient);
    most.hessian = std::max(most.hessian, m.hessian);
  }
  for (const auto& [name, bits] :
       {std::pair{"gradient", most.gradient}, {"hessian", most.hessian}}) {
    if (bits >= kNotFinite) {
      throw std::invalid_argument(std::string(name) +
                                  ": expected finite values, got NaN or infinity");
    }
  }
  return {std::bit_cast<float>(most.gradient), std::bit_cast<float>(most.hessian)};
}

}  // namespace

const void* FixedPoint::output(int32_t o, int64_t rows) const {
  return words.data() + static_cast<size_t>(o) * rows * word_bytes(packing);
}

FixedPoint to_fixed_point(const GrowInput& input) {
  std::vector<Gradients> outputs;
  for (int32_t o = 0; o < input.outputs; ++o) {
    const int64_t at = o * input.output_stride;
    outputs.push_back(
        {input.gradient + at, input.hessian + at, input.row_stride, input.rows, input.count});
  }
  const Limits limits = limits_of(outputs);
  const int64_t rows = input.bins->rows;
  FixedPoint fixed;
  const auto quantize = [&](Packing packing, double gradient_scale, double hessian_scale) {
    fixed.packing = packing;
    fixed.words = Scratch<char>(static_cast<size_t>(rows) * input.outputs * word_bytes(packing));
    fixed.gradient_unit = 1.0 / gradient_scale;
    fixed.hessian_unit = 1.0 / hessian_scale;
    fixed.least_hessian = INT64_MAX;
    fixed.most_hessian = 0;
    fixed.totals.clear();
    QuantizedSums all;
    for (int32_t o = 0; o < input.outputs; ++o) {
      QuantizeArgs args;
      args.in = outputs[o];
      args.packing = packing;
      args.gradient_scale = gradient_scale;
      args.hessian_scale = hessian_scale;
      args.stochastic = input.quantized;
      args.seed = input.seed;
      args.stream = stream_of(Draw::round, static_cast<uint64_t>(o));
      args.words = fixed.words.data() + static_cast<size_t>(o) * rows * word_bytes(packing);
      QuantizedSums sums;
      tree_quantize(args, sums);
      fixed.totals.push_back(sums.total);
      all.gradient += sums.gradient;
      all.hessian += sums.hessian;
      fixed.least_hessian = std::min(fixed.least_hessian, sums.least_hessian);
      fixed.most_hessian = std::max(fixed.most_hessian, sums.most_hessian);
    }
    return all;
  };

  if (input.quantized) {
    fixed.block = INT16_MAX / kFewLevels;
    if (input.count <= INT32_MAX / kFewLevels) fixed.sums_packing = Packing::bits32;
    quantize(Packing::bits16, limits.gradient > 0 ? kFewLevels / limits.gradient : 1.0,
             limits.hessian > 0 ? kFewLevels / limits.hessian : 1.0);
    return fixed;
  }
  fixed.block = std::clamp<int64_t>(input.count, 1, kBlock);
  const int bits = std::min(bits_below((int64_t{1} << 31) / fixed.block), 24);
  const auto by_power_of_two = [&](Packing packing, int below) {
    return quantize(packing, scale_for(limits.gradient, below), scale_for(limits.hessian, below));
  };
  // A magnitude may round up to 2^bits: one bit less keeps block of them below 2^31.
  const QuantizedSums sums = by_power_of_two(Packing::bits32, bits - 1);
  const double spread =
      static_cast<double>(input.count) * input.outputs * std::ldexp(1.0, bits - 2);
  if (kOutlier * static_cast<double>(sums.gradient) < spread ||
      kOutlier * static_cast<double>(sums.hessian) < spread) {
    fixed.block = INT64_MAX;
    by_power_of_two(Packing::bits64,
                    std::min(50, 61 - bits_below(std::max<int64_t>(input.count, 1) * 2)));
  }
  return fixed;
}

}  // namespace pyllm::trees
