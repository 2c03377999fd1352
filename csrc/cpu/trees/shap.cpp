// TreeSHAP, path-dependent: Lundberg, Erion and Lee 2018, "Consistent individualized feature
// attribution for tree ensembles", algorithm 2.
//
// A row's path to a leaf splits on features d with a share z (of the training weight that follows
// the path where d is unknown) and o (1 if the row itself follows it there, else 0). weight[i] is
// the sum over the subsets of i features of the path, each times what a permutation gives it:
//
//   extend    weight'[i]   = z weight[i] (m - i) / (m + 1) + o weight[i-1] i / (m + 1)
//   unwind    undoes it for one feature; the sum of what is left is the feature's part
//   a leaf    phi_d += sum(unwind(weight, d)) (o - z) value
//
// Interaction of d and e: half of phi_e with d known less phi_e with d unknown (same paper, eq. 6);
// what remains of phi_d is on the diagonal. Only features of the tree take part.
//
// Rows are split among threads; a row's trees are added in their order by one thread.
#include "cpu/trees/shap.h"

#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "cpu/trees/row_keys.h"
#include "cpu/trees/walk.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int kLanes = kForestLanes;

enum class Given { nothing, known, unknown };

// Features of the path so far and the weights of their subsets.
struct PathFeature {
  int32_t slot;  // into PackedForest::features
  double z, o;
};

// One tree and one row; `phi(slot, share, leaf)` receives what each leaf adds.
template <class Node, class Step>
class Explainer {
 public:
  Explainer(const PackedForest& forest, int32_t max_depth)
      : f_(forest), stride_(max_depth + 2), inverse_(stride_ + 1) {
    features_.resize(size_t(stride_) * stride_);
    weights_.resize(size_t(stride_) * stride_);
    for (int i = 1; i <= stride_; ++i) inverse_[i] = 1.0 / i;
  }

  template <class Add>
  void explain(const Node* nodes, const double* left_share, Step step, int lane, Given given,
               int32_t given_slot, Add add) {
    nodes_ = nodes;
    left_share_ = left_share;
    lane_ = lane;
    given_ = given;
    given_slot_ = given_slot;
    weights_[0] = 1.0;
    visit(1, 0, 0, 1.0, step, add);
  }

 private:
  // `m` features on the path, whose arrays are those of `level`; `part` of the rows get here by
  // splits on the given feature.
  template <class Add>
  void visit(uint32_t at, int level, int m, double part, const Step& step, Add& add) {
    const Node& node = nodes_[at];
    const PathFeature* path = &features_[size_t(level) * stride_];
    const double* weight = &weights_[size_t(level) * stride_];
    if (node.child == at) {
      for (int i = 0; i < m; ++i) {
        const double change = path[i].o - path[i].z;
        if (change != 0) add(path[i].slot, unwound_sum(weight, m, path[i]) * change * part, at);
      }
      return;
    }
    const auto slot = static_cast<int32_t>(f_.columns[node.column / kLanes].slot);
    const uint64_t taken = step(at, lane_);
    const double share = left_share_[at];
    for (const uint32_t child : {uint32_t{node.child}, uint32_t{node.child} + 1}) {
      const double z = child == node.child ? share : 1 - share, o = child == taken ? 1 : 0;
      if (given_ != Given::nothing && slot == given_slot_) {
        const double next = given_ == Given::known ? part * o : part * z;
        if (next == 0) continue;
        std::copy_n(path, m, &features_[size_t(level + 1) * stride_]);
        std::copy_n(weight, m + 1, &weights_[size_t(level + 1) * stride_]);
        visit(child, level + 1, m, next, step, add);
        continue;
      }
      visit(child, level + 1, extend(level, m, {slot, z, o}), part, step, add);
    }
  }

  // The arrays of the next level: this level's, with one more split. Returns their number of
  // features: a feature that is on the path already keeps one place.
  int extend(int level, int m, PathFeature split) {
    const PathFeature* path = &features_[size_t(level) * stride_];
    const double* weight = &weights_[size_t(level) * stride_];
    PathFeature* next_path = &features_[size_t(level + 1) * stride_];
    double* next = &weights_[size_t(level + 1) * stride_];
    int known = 0;
    while (known < m && path[known].slot != split.slot) ++known;
    std::copy_n(path, known, next_path);
    std::copy_n(weight, m + 1, next);
    if (known < m) {
      split.z *= path[known].z;
      split.o *= path[known].o;
      unwind(next, m, path[known]);
      std::copy(path + known + 1, path + m, next_path + known);
      --m;
    }
    next_path[m] = split;
    next[m + 1] = 0;
    const double scale = inverse_[m + 2];
    for (int i = m; i >= 0; --i) {
      next[i + 1] += split.o * next[i] * (i + 1) * scale;
      next[i] *= split.z * (m + 1 - i) * scale;
    }
    return m + 1;
  }

  // Takes one of m features out of the weights.
  void unwind(double* weight, int m, const PathFeature& feature) const {
    double next = weight[m];
    for (int i = m - 1; i >= 0; --i) {
      if (feature.o != 0) {
        const double before = weight[i];
        weight[i] = next * (m + 1) * inverse_[i + 1];
        next = before - weight[i] * feature.z * (m - i) * inverse_[m + 1];
      } else {
        weight[i] = feature.z != 0 ? weight[i] * (m + 1) * inverse_[m - i] / feature.z : 0;
      }
    }
  }

  double unwound_sum(const double* weight, int m, const PathFeature& feature) const {
    double sum = 0;
    if (feature.o != 0) {
      double next = weight[m];
      const double shrink = feature.z * inverse_[m + 1];
      for (int i = m - 1; i >= 0; --i) {
        const double w = next * (m + 1) * inverse_[i + 1];
        sum += w;
        next = weight[i] - w * shrink * (m - i);
      }
      return sum;
    }
    for (int i = 0; i < m; ++i) sum += weight[i] * inverse_[m - i];
    return sum * (m + 1) / feature.z;  // z is not 0: the caller saw o - z != 0
  }

  const PackedForest& f_;
  const int stride_;
  std::vector<double> inverse_;
  std::vector<PathFeature> features_;
  std::vector<double> weights_;
  const Node* nodes_ = nullptr;
  const double* left_share_ = nullptr;
  int lane_ = 0;
  Given given_ = Given::nothing;
  int32_t given_slot_ = -1;
};

// What an unknown row gets from each output: the leaves' means, by training weight.
template <class Node>
std::vector<double> expectations(const ForestShapArgs& a, const CachedVector<Node>& nodes) {
  const PackedForest& f = *a.forest;
  std::vector<double> result(f.n_outputs), part;
  for (size_t t = 0; t < f.trees.size(); ++t) {
    const PackedTree& tree = f.trees[t];
    const int64_t end = t + 1 < f.trees.size() ? f.trees[t + 1].first : int64_t(nodes.size());
    part.assign(end - tree.first, 0.0);
    part[1] = 1.0;
    for (int64_t i = 1; i < end - tree.first; ++i) {
      if (part[i] == 0) continue;
      const int64_t child = nodes[tree.first + i].child;
      if (child != i) {
        const double share = a.left_share[tree.first + i];
        part[child] = part[i] * share;
        part[child + 1] = part[i] * (1 - share);
        continue;
      }
      const double* value = f.value.data() + (tree.first + i) * f.width;
      if (tree.output >= 0) {
        result[tree.output] += part[i] * value[0];
      } else {
        for (int64_t k = 0; k < f.n_outputs; ++k) result[k] += part[i] * value[k];
      }
    }
  }
  return result;
}

// The features that each tree splits on, as slots.
template <class Node>
std::vector<std::vector<int32_t>> features_of_trees(const PackedForest& f,
                                                    const CachedVector<Node>& nodes) {
  std::vector<std::vector<int32_t>> result(f.trees.size());
  for (size_t t = 0; t < f.trees.size(); ++t) {
    const int64_t first = f.trees[t].first;
    const int64_t end = t + 1 < f.trees.size() ? f.trees[t + 1].first : int64_t(nodes.size());
    for (int64_t i = first + 1; i < end; ++i) {
      if (f.original[i] < 0 || nodes[i].child == i - first) continue;
      result[t].push_back(static_cast<int32_t>(f.columns[nodes[i].column / kLanes].slot));
    }
    std::sort(result[t].begin(), result[t].end());
    result[t].erase(std::unique(result[t].begin(), result[t].end()), result[t].end());
  }
  return result;
}

template <class Node>
void explain_rows(const ForestShapArgs& a, const CachedVector<Node>& nodes) {
  using Key = typename Node::KeyType;
  using Step = decltype(step_of(*a.forest, nodes.data(), static_cast<const Key*>(nullptr)));
  const PackedForest& f = *a.forest;
  const int64_t n = f.n_outputs, columns = f.n_features + 1;
  const int64_t stride = a.interactions ? columns * columns : columns;  // of an output
  const std::vector<double> expectation = expectations(a, nodes);
  std::vector<std::vector<int32_t>> features;
  if (a.interactions) features = features_of_trees(f, nodes);
  const int64_t groups = (a.rows.rows + kLanes - 1) / kLanes;
  const bool few = groups < num_threads();  // then a task is a row, not a group of them
  const int64_t lanes = few ? 1 : kLanes, tasks = (a.rows.rows + lanes - 1) / lanes;
  parallel_tasks(tasks, [&](int64_t task) {
    const int64_t begin = task * lanes, rows = std::min(lanes, a.rows.rows - begin);
    Scratch<Key> keys(f.columns.size() * kLanes);
    RowKeys<Key>(f, a.rows).encode(begin, rows, keys.data());
    Explainer<Node, Step> explainer(f, a.max_depth);
    for (int lane = 0; lane < rows; ++lane) {
      double* out = a.out + (begin + lane) * n * stride;
      for (int64_t k = 0; k < n; ++k) out[k * stride + stride - 1] += expectation[k];
      for (size_t t = 0; t < f.trees.size(); ++t) {
        const PackedTree& tree = f.trees[t];
        const Node* first = nodes.data() + tree.first;
        const Step step = step_of(f, first, static_cast<const Key*>(keys.data()));
        // Adds `share` of a leaf's value to place `at` of each output.
        const auto add_value = [&](double* to, int64_t output_stride, double share, uint32_t leaf) {
          const double* value = f.value.data() + (tree.first + leaf) * f.width;
          if (tree.output >= 0) {
            to[tree.output * output_stride] += share * value[0];
          } else {
            for (int64_t k = 0; k < n; ++k) to[k * output_stride] += share * value[k];
          }
        };
        const int64_t diagonal = a.interactions ? columns + 1 : 1;
        explainer.explain(first, a.left_share + tree.first, step, lane, Given::nothing, -1,
                          [&](int32_t slot, double share, uint32_t leaf) {
                            add_value(out + f.features[slot] * diagonal, stride, share, leaf);
                          });
        if (!a.interactions) continue;
        for (const int32_t given : features[t]) {
          double* row = out + f.features[given] * columns;
          for (const Given how : {Given::known, Given::unknown}) {
            const double half = how == Given::known ? 0.5 : -0.5;
            explainer.explain(first, a.left_share + tree.first, step, lane, how, given,
                              [&](int32_t slot, double share, uint32_t leaf) {
                                add_value(row + f.features[slot], stride, half * share, leaf);
                                add_value(row + f.features[given], stride, -half * share, leaf);
                              });
          }
        }
      }
    }
  });
}

}  // namespace

void forest_shap(const ForestShapArgs& a) {
  if (a.rows.rows == 0) return;
  std::visit([&](const auto& nodes) { explain_rows(a, nodes); }, a.forest->nodes);
}

}  // namespace pyllm::PYLLM_ISA
