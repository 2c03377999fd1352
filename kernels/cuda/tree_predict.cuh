// One thread a row walks down the trees in their order, so that a margin is summed in float64 in
// the order of the trees, as on the CPU; the rows of a block share the nodes in L1 and L2.
#pragma once

#include "device.cuh"
#include "tree_predict.h"

namespace pyllm::cuda {

constexpr int kPredictThreads = 128;

template <class X>
struct TreeRow {
  const TreePredict& a;
  const X* x;

  PYLLM_DEVICE bool goes_left(int64_t node, int32_t feature) const {
    constexpr double kZero = 1e-35;  // LightGBM's idea of zero
    double value = dev::ldg(x + feature * a.x_column_stride);
    if (a.float32_input) value = static_cast<float>(value);
    const bool zero = value <= kZero && value >= -kZero && dev::ldg(a.zero_is_missing + node) != 0;
    if (value != value || zero) return dev::ldg(a.default_left + node) != 0;
    const int64_t bits = dev::ldg(a.category_offset + node);
    if (bits < 0) return value <= dev::ldg(a.threshold + node);
    const int64_t categories = int64_t{dev::ldg(a.category_words + node)} * 32;
    if (!(value >= 0.0 && value < static_cast<double>(categories))) return false;
    const int64_t category = static_cast<int64_t>(value);
    return dev::ldg(a.category_bits + bits + category / 32) >> category % 32 & 1;
  }
  // The leaf of the tree whose root is `root`.
  PYLLM_DEVICE int64_t leaf(int64_t root) const {
    int64_t node = root;
    for (;;) {
      const int32_t feature = dev::ldg(a.feature + node);
      if (feature < 0) return node;
      node = root + dev::ldg((goes_left(node, feature) ? a.left : a.right) + node);
    }
  }
};

template <class X>
__global__ void __launch_bounds__(kPredictThreads) tree_predict(TreePredict a) {
  const int64_t row = int64_t{blockIdx.x} * kPredictThreads + threadIdx.x;
  if (row >= a.rows) return;
  const TreeRow<X> reader{a, static_cast<const X*>(a.x) + row * a.x_row_stride};
  const int64_t trees = a.last_tree - a.first_tree;
  double* margin = a.margin != nullptr ? a.margin + row * a.outputs : nullptr;
  double only = 0.0;  // the margin where there is one output
  const auto add = [&](int64_t output, double value) {
    if (a.outputs == 1) {
      only += value;
    } else {
      dev::stg(margin + output, dev::ldg(margin + output) + value);
    }
  };
  if (margin != nullptr && a.outputs > 1) {
    for (int64_t o = 0; o < a.outputs; ++o) dev::stg(margin + o, 0.0);
  }
  for (int64_t t = 0; t < trees; ++t) {
    const int64_t root = dev::ldg(a.tree_offset + a.first_tree + t);
    const int64_t leaf = reader.leaf(root);
    if (a.leaves != nullptr) {
      dev::stg(a.leaves + row * trees + t, static_cast<int32_t>(leaf - root));
    }
    if (margin == nullptr) continue;
    const double* value = a.value + leaf * a.width;
    const int32_t output = dev::ldg(a.tree_output + a.first_tree + t);
    if (output >= 0) {
      add(output, dev::ldg(value));
    } else {
      for (int64_t o = 0; o < a.outputs; ++o) add(o, dev::ldg(value + o));
    }
  }
  if (margin == nullptr) return;
  for (int64_t o = 0; o < a.outputs; ++o) {
    double sum = a.outputs == 1 ? only : dev::ldg(margin + o);
    if (a.average) {
      int64_t adders = 0;
      for (int64_t t = a.first_tree; t < a.last_tree; ++t) {
        const int32_t output = dev::ldg(a.tree_output + t);
        adders += output < 0 || output == o;
      }
      if (adders > 1) sum = sum / static_cast<double>(adders);
    }
    dev::stg(margin + o, dev::ldg(a.base_score + o) + sum);
  }
}

}  // namespace pyllm::cuda
