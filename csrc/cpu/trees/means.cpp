// Values as means, summed in double: a leaf's rows in the order of their numbers, then inner nodes
// from their children, whichever thread does it.
#include "cpu/trees/node_values.h"

namespace pyllm::trees {

void fill_means(const MeanInput& input, const int32_t* rows, const std::vector<TreeNode>& grown,
                GrownTree& tree) {
  const auto nodes = static_cast<int64_t>(grown.size());
  const int32_t k = input.outputs;
  const int64_t width = k + 1;  // sums by output, then the weight
  std::vector<double> sums(static_cast<size_t>(nodes * width), 0.0);
  for_each_leaf(grown, [&](int64_t node, Segment segment) {
    double* own = sums.data() + node * width;
    for (int64_t i = segment.begin; i < segment.begin + segment.count; ++i) {
      const int64_t row = rows[i];
      const double weight = input.weight ? input.weight[row] : 1.0;
      for (int32_t o = 0; o < k; ++o) own[o] += weight * input.columns[row * k + o];
      own[k] += weight;
    }
  });
  tree.value.resize(static_cast<size_t>(nodes * k));
  tree.cover.resize(static_cast<size_t>(nodes));
  for (int64_t node = nodes - 1; node >= 0; --node) {
    double* own = sums.data() + node * width;
    if (grown[node].feature >= 0) {
      const double* left = sums.data() + grown[node].left * width;
      const double* right = sums.data() + grown[node].right * width;
      for (int64_t i = 0; i < width; ++i) own[i] = left[i] + right[i];
    }
    for (int32_t o = 0; o < k; ++o) tree.value[node * k + o] = own[k] > 0 ? own[o] / own[k] : 0.0;
    tree.cover[node] = own[k] * k;
  }
}

}  // namespace pyllm::trees
