// Values as means, summed in double: a leaf's rows in the order of their numbers, then inner nodes
// from their children, whichever thread does it.
#include "cpu/trees/node_values.h"

namespace pyllm::trees {

void fill_means(const MeanInput& input, const int32_t* rows, const CachedVector<TreeNode>& nodes,
                double* value, double* cover) {
  const auto count = static_cast<int64_t>(nodes.size());
  const int32_t k = input.outputs;
  const int64_t width = k + 1;  // sums by output, then the weight
  CachedVector<double> sums(static_cast<size_t>(count * width), 0.0);
  for_each_leaf(nodes, [&](int64_t node, Segment segment) {
    double* own = sums.data() + node * width;
    for (int64_t i = segment.begin; i < segment.begin + segment.count; ++i) {
      const int64_t row = rows[i];
      const double weight = input.weight ? input.weight[row] : 1.0;
      for (int32_t o = 0; o < k; ++o) own[o] += weight * input.columns[row * k + o];
      own[k] += weight;
    }
  });
  for (int64_t node = count - 1; node >= 0; --node) {
    double* own = sums.data() + node * width;
    if (nodes[node].feature >= 0) {
      const double* left = sums.data() + nodes[node].left * width;
      const double* right = sums.data() + nodes[node].right * width;
      for (int64_t i = 0; i < width; ++i) own[i] = left[i] + right[i];
    }
    for (int32_t o = 0; o < k; ++o) value[node * k + o] = own[k] > 0 ? own[o] / own[k] : 0.0;
    cover[node] = own[k] * k;
  }
}

}  // namespace pyllm::trees
