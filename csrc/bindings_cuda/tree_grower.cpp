// The order in which nodes are split is that of the CPU's engine: highest gain first, or level by
// level. A wave carries out all splits that the tree may still take: with r leaves left to make,
// the first r of the queue. What the tree then takes is replayed from the queue, so nodes have the
// CPU's numbers and the host waits once a level, leaf-wise for every two or three splits.
#include "bindings_cuda/tree_grower.h"

#include <algorithm>
#include <set>

#include "bindings_cuda/tree_waves.h"
#include "cpu/trees/node_sums.h"

namespace pyllm::bind_cuda {
namespace {

using trees::GrownTree;
using trees::GrowOptions;

constexpr int64_t kMostOfAWave = 16384;  // nodes; launchers take 65,535
constexpr int32_t kNone = -1;

struct Queued {
  double gain;
  int32_t depth, node;
};

struct Before {
  bool leafwise;
  bool operator()(const Queued& a, const Queued& b) const {
    if (leafwise && a.gain != b.gain) return a.gain > b.gain;
    if (!leafwise && a.depth != b.depth) return a.depth < b.depth;
    return a.node < b.node;
  }
};

class Grower {
 public:
  Grower(const DeviceGrowInput& input, const GrowOptions& options)
      : input_(input),
        options_(options),
        fixed_(to_fixed_point(input)),
        waves_(input, options, fixed_),
        queue_(Before{options.leafwise}) {}

  GrownTree grow(int32_t* leaf_of_row, trees::Checkpoint checkpoint) {
    add_node(waves_.root());
    while (!queue_.empty() && !full()) {
      const int32_t node = queue_.begin()->node;
      if (!nodes_[node].children) {
        checkpoint();
        next_wave();
      }
      queue_.erase(queue_.begin());
      split(node);
    }
    fill_leaves();
    find_leaves(leaf_of_row);
    return std::move(tree_);
  }

 private:
  bool full() const { return options_.max_leaves > 0 && leaves_ >= options_.max_leaves; }

  int32_t add_node(DeviceNode node) {
    const auto number = static_cast<int32_t>(nodes_.size());
    if (node.split.feature != kNone) queue_.insert({node.split.gain, node.depth, number});
    nodes_.push_back(std::move(node));
    tree_.feature.push_back(kNone);
    tree_.bin.push_back(0);
    tree_.left.push_back(kNone);
    tree_.right.push_back(kNone);
    tree_.default_left.push_back(0);
    tree_.category_offset.push_back(-1);
    tree_.gain.push_back(0);
    return number;
  }

  void next_wave() {
    HistogramPlaces& places = waves_.places();
    int64_t takes = options_.max_leaves > 0 ? options_.max_leaves - leaves_ : INT64_MAX;
    const bool last = takes == 1;  // nothing is split after it
    const auto most = static_cast<size_t>(std::clamp<int64_t>(places.count() / 4, 1, kMostOfAWave));
    std::vector<DeviceNode*> wave;
    for (const Queued& queued : queue_) {
      DeviceNode& node = nodes_[queued.node];
      if (takes-- == 0 || wave.size() == most) break;
      if (!node.children) wave.push_back(&node);
    }
    const bool deepest =
        options_.max_depth > 0 && std::all_of(wave.begin(), wave.end(), [&](const DeviceNode* n) {
          return n->depth + 1 >= options_.max_depth;
        });
    const bool search = !last && !deepest;
    if (search) make_room(wave);
    waves_.carry_out(wave, search);
  }

  // Histograms that are kept for later waves go first: their children are then summed anew.
  void make_room(const std::vector<DeviceNode*>& wave) {
    HistogramPlaces& places = waves_.places();
    const auto needed = 2 * static_cast<int64_t>(wave.size());
    const std::set<const DeviceNode*> kept(wave.begin(), wave.end());
    for (auto queued = queue_.rbegin(); queued != queue_.rend() && places.free() < needed;
         ++queued) {
      DeviceNode& node = nodes_[queued->node];
      if (kept.count(&node) == 0) places.give_back(node);
      if (!node.children) continue;
      for (DeviceNode& child : *node.children) places.give_back(child);
    }
  }

  void split(int32_t number) {
    const trees::Split split = std::move(nodes_[number].split);
    const auto children = std::move(nodes_[number].children);
    waves_.adopt(nodes_[number]);
    auto& [left, right] = *children;
    tree_.feature[number] = split.feature;
    tree_.bin[number] = split.bin;
    tree_.gain[number] = static_cast<float>(split.gain);
    // A missing value where training saw none goes with the majority.
    tree_.default_left[number] =
        split.saw_missing ? split.missing_left : left.rows.count >= right.rows.count;
    ++leaves_;
    const int32_t left_number = add_node(std::move(left));
    const int32_t right_number = add_node(std::move(right));
    tree_.left[number] = left_number;
    tree_.right[number] = right_number;
  }

  // Values, covers and counts.
  void fill_leaves() {
    std::vector<int64_t> segments;
    std::vector<int32_t> leaves;
    for (size_t i = 0; i < nodes_.size(); ++i) {
      const DeviceNode& node = nodes_[i];
      tree_.count.push_back(node.rows.count);
      if (tree_.feature[i] >= 0) continue;
      leaves.push_back(static_cast<int32_t>(i));
      segments.insert(segments.end(), {node.rows.begin, node.rows.count});
    }
    TreeLeafSums args{};
    std::vector<double> of_leaves;
    Upload upload;
    Download download;
    const auto n = static_cast<int64_t>(leaves.size());
    const int64_t outputs = input_.outputs, pair = 2 * outputs;
    const std::vector<int64_t> starts = block_starts();
    args.blocks = static_cast<int64_t>(starts.size()) - 1;
    upload.add(args.segments, segments);
    upload.add(args.block_starts, starts);
    upload.send(input_.stream);
    const auto partial =
        allocate(static_cast<size_t>(args.blocks * n * pair) * sizeof(double), input_.stream);
    args.partial = static_cast<double*>(partial.get());
    download.add(args.sums, n * pair, of_leaves);
    download.make(input_.stream);
    args.gradient = input_.gradient, args.hessian = input_.hessian, args.rows = waves_.rows();
    args.nodes = n, args.outputs = outputs;
    args.row_stride = input_.row_stride, args.output_stride = input_.output_stride;
    check(pyllm_cuda_tree_leaf_sums(&args, input_.stream.handle()), "summing leaves");
    download.fetch(input_.stream);
    std::vector<double> sums(nodes_.size() * static_cast<size_t>(pair), 0.0);
    for (int64_t i = 0; i < n; ++i) {
      std::copy_n(of_leaves.begin() + i * pair, pair, sums.begin() + leaves[i] * pair);
    }
    fill_values(
        options_.objective, input_.outputs, [&](int64_t node) { return nodes_[node].bounds; },
        sums.data(), tree_);
  }

  // The rows that blocks of sums start at, and the end.
  std::vector<int64_t> block_starts() const {
    const int64_t block = trees::rows_of_a_sum(static_cast<int64_t>(nodes_.size()));
    std::vector<int64_t> starts;
    for (int64_t i = 0; i < input_.count; i += block) {
      starts.push_back(input_.host_rows != nullptr ? input_.host_rows[i] : i);
    }
    starts.push_back(input_.bins->rows());
    return starts;
  }

  void find_leaves(int32_t* leaf_of_row) {
    const DeviceBins& bins = *input_.bins;
    std::vector<int32_t> missing_code(nodes_.size(), 0);
    for (size_t i = 0; i < nodes_.size(); ++i) {
      if (tree_.feature[i] >= 0) missing_code[i] = bins.features[tree_.feature[i]].bins;
    }
    TreeFindLeaves args{};
    Upload upload;
    upload.add(args.feature, tree_.feature);
    upload.add(args.bin, tree_.bin);
    upload.add(args.missing_code, missing_code);
    upload.add(args.left, tree_.left);
    upload.add(args.right, tree_.right);
    upload.add(args.default_left, tree_.default_left);
    upload.send(input_.stream);
    args.codes = bins.codes.by_row.view.data;
    args.codes_row_stride = bins.codes.by_row.view.shape[1];
    args.leaf = leaf_of_row, args.rows = bins.rows(), args.wide = bins.codes.wide();
    check(pyllm_cuda_tree_find_leaves(&args, input_.stream.handle()), "finding leaves");
  }

  const DeviceGrowInput& input_;
  const GrowOptions& options_;
  const DeviceFixedPoint fixed_;
  Waves waves_;
  std::set<Queued, Before> queue_;
  std::vector<DeviceNode> nodes_;
  int32_t leaves_ = 1;
  GrownTree tree_;
};

}  // namespace

GrownTree grow_tree(const DeviceGrowInput& input, const GrowOptions& options, int32_t* leaf_of_row,
                    trees::Checkpoint checkpoint) {
  return Grower(input, options).grow(leaf_of_row, checkpoint);
}

}  // namespace pyllm::bind_cuda
