#include "bindings_cuda/tree_input.h"

#include <cmath>
#include <stdexcept>

#include "bindings_cuda/staging.h"
#include "bindings_cuda/tree_launchers.h"
#include "cpu/trees/sampling.h"

namespace pyllm::bind_cuda {
namespace {

constexpr int32_t kFewLevels = 7;  // of a quantised magnitude, besides 0
constexpr double kOutlier = 512;
constexpr uint32_t kNotFinite = 0x7F800000u;

struct Rounded {
  DeviceFixedPoint fixed;
  std::vector<int64_t> sums;
};

Rounded round_to(const DeviceGrowInput& in, bool wide) {
  Rounded made;
  DeviceFixedPoint& fixed = made.fixed;
  fixed.wide = wide;
  const size_t pair = 2 * (wide ? sizeof(int64_t) : sizeof(int32_t));
  fixed.words = allocate(static_cast<size_t>(in.bins->rows()) * in.outputs * pair, in.stream);
  TreeGradients args{};
  args.gradient = in.gradient, args.hessian = in.hessian, args.rows = in.rows;
  args.quantized = fixed.words.get();
  args.count = in.count, args.all_rows = in.bins->rows(), args.outputs = in.outputs;
  args.row_stride = in.row_stride, args.output_stride = in.output_stride;
  args.seed = in.seed, args.stream = trees::stream_of(trees::Draw::round, 0);
  args.stochastic = in.quantized, args.levels = in.quantized ? kFewLevels : 0, args.wide = wide;
  fixed.units_memory = allocate(2 * sizeof(double), in.stream);
  args.units = static_cast<double*>(fixed.units_memory.get());
  fixed.units = args.units;
  std::vector<uint32_t> largest;
  std::vector<int64_t> totals;
  std::vector<double> units(2);
  Download down;
  down.add(args.largest, 2, largest);
  down.add(args.totals, 2 * in.outputs, totals);
  down.add(args.sums, 4, made.sums);
  down.make(in.stream);
  check(pyllm_cuda_tree_gradients(&args, in.stream.handle()), "rounding gradients");
  check(cudaMemcpyAsync(units.data(), fixed.units, 2 * sizeof(double), cudaMemcpyDeviceToHost,
                        in.stream.handle()),
        "copying from the device");
  down.fetch(in.stream);
  for (int k = 0; k < 2; ++k) {
    if (largest[k] < kNotFinite) continue;
    throw std::invalid_argument(std::string(k == 0 ? "gradient" : "hessian") +
                                ": expected finite values, got NaN or infinity");
  }
  fixed.gradient_unit = units[0], fixed.hessian_unit = units[1];
  for (int32_t o = 0; o < in.outputs; ++o) {
    fixed.totals.push_back(trees::Pair{totals[2 * o], totals[2 * o + 1]});
  }
  fixed.least_hessian = made.sums[2], fixed.most_hessian = made.sums[3];
  return made;
}

}  // namespace

const void* DeviceFixedPoint::output(int64_t o, int64_t rows) const {
  const int64_t pair = 2 * static_cast<int64_t>(wide ? sizeof(int64_t) : sizeof(int32_t));
  return static_cast<const char*>(words.get()) + o * rows * pair;
}

DeviceFixedPoint to_fixed_point(const DeviceGrowInput& in) {
  Rounded made = round_to(in, false);
  if (in.quantized) return std::move(made.fixed);
  const double few = static_cast<double>(in.count) * in.outputs *
                     std::ldexp(1.0, tree_gradient_bits(in.count) - 1);
  if (kOutlier * static_cast<double>(made.sums[0]) < few ||
      kOutlier * static_cast<double>(made.sums[1]) < few) {
    made = {};  // its memory first
    made = round_to(in, true);
  }
  return std::move(made.fixed);
}

}  // namespace pyllm::bind_cuda
