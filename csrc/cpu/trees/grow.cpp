// Growing one tree.
//
// A node's rows are a segment of one array of row numbers; a split partitions the segment. Of the
// two children only the smaller one's histogram is summed, the other's is the parent's minus it.
// The next node to split is the one with the highest gain (leaf-wise), or the next of the level.
// All sums that decide are integers, so the order in which threads finish changes nothing.
#include "cpu/trees/grow.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <queue>

#include "core/scratch.h"
#include "cpu/trees/fixed_point.h"
#include "cpu/trees/histogram_pool.h"
#include "cpu/trees/node_values.h"
#include "cpu/trees/partition.h"

namespace pyllm::trees {
namespace {

// Rows that a thread sums, or partitions, at least.
constexpr int64_t kSumGrain = 512;
constexpr int64_t kPartitionGrain = 1 << 14;
constexpr int32_t kNone = -1;

struct OpenNode {
  Segment rows;
  int32_t depth = 0;
  Bounds bounds;
  Histogram histogram;
  Split split;
};

struct Queued {
  double gain;
  int32_t depth, node;
};

struct Later {
  bool leafwise;
  bool operator()(const Queued& a, const Queued& b) const {
    if (leafwise && a.gain != b.gain) return a.gain < b.gain;
    if (!leafwise && a.depth != b.depth) return a.depth > b.depth;
    return a.node > b.node;
  }
};

class Grower {
 public:
  Grower(const GrowInput& input, const GrowOptions& options)
      : input_(input),
        options_(options),
        bins_(*input.bins),
        fixed_(to_fixed_point(input)),
        pool_(bins_.total * input.outputs),
        rows_(input.count + 1),
        spare_(input.count + 1),
        queue_(Later{options.leafwise}) {
    rules_.objective = options.objective;
    rules_.min_gain = options.min_gain;
    rules_.min_child_weight = options.min_child_weight;
    rules_.gradient_unit = fixed_.gradient_unit;
    rules_.hessian_unit = fixed_.hessian_unit;
    rules_.least_hessian_sum =
        options.min_child_samples * std::max<int64_t>(fixed_.least_hessian, 0);
    rules_.monotone = options.monotone.empty() ? nullptr : options.monotone.data();
    choose_features();
  }

  GrownTree grow(int32_t* leaf_of_row, Checkpoint checkpoint) {
    add_root();
    while (!queue_.empty() && !full()) {
      checkpoint();
      const int32_t node = queue_.top().node;
      queue_.pop();
      split(node);
    }
    std::vector<Segment> segments;
    std::vector<Bounds> bounds;
    for (const OpenNode& node : nodes_) {
      segments.push_back(node.rows);
      bounds.push_back(node.bounds);
      tree_.count.push_back(node.rows.count);
    }
    fill_nodes(input_, options_.objective, rows_.data(), segments, bounds, tree_, leaf_of_row);
    return std::move(tree_);
  }

 private:
  bool full() const { return options_.max_leaves > 0 && leaves_ >= options_.max_leaves; }

  // Features that can be split at all, in a slice a thread.
  void choose_features() {
    for (int32_t f = 0; f < static_cast<int32_t>(bins_.features.size()); ++f) {
      if (bins_.features[f].codes() > 1) features_.push_back(f);
    }
    std::stable_sort(features_.begin(), features_.end(), [&](int32_t a, int32_t b) {
      const Feature &x = bins_.features[a], &y = bins_.features[b];
      return x.wide != y.wide ? y.wide : x.column < y.column;
    });
    const auto count = static_cast<int64_t>(features_.size());
    const int64_t slices = std::min<int64_t>(count, num_threads());
    for (int64_t s = 0; s < slices; ++s) {
      const int64_t begin = s * count / slices, end = (s + 1) * count / slices;
      slices_.push_back({features_.data() + begin, static_cast<int32_t>(end - begin)});
    }
  }

  Packing packing_of(int64_t count) const {
    return count <= fixed_.block ? fixed_.packing : Packing::bits64;
  }

  int32_t add_node(Segment rows, int32_t depth, Bounds bounds, const std::vector<Pair>& totals) {
    const auto node = static_cast<int32_t>(nodes_.size());
    nodes_.push_back({rows, depth, bounds, {}, {}});
    totals_.insert(totals_.end(), totals.begin(), totals.end());
    tree_.feature.push_back(kNone);
    tree_.bin.push_back(0);
    tree_.left.push_back(kNone);
    tree_.right.push_back(kNone);
    tree_.default_left.push_back(0);
    tree_.gain.push_back(0);
    return node;
  }

  void add_root() {
    if (input_.rows) {
      std::memcpy(rows_.data(), input_.rows, input_.count * sizeof(int32_t));
    } else {
      std::iota(rows_.data(), rows_.data() + input_.count, 0);
    }
    add_node({0, input_.count}, 0, {}, fixed_.totals);
    leaves_ = 1;
    if (may_split(0)) find_splits(0, kNone, {});
  }

  bool may_split(int32_t node) const {
    const OpenNode& n = nodes_[node];
    return n.rows.count >= 2 * std::max<int64_t>(options_.min_child_samples, 1) &&
           (options_.max_depth == 0 || n.depth < options_.max_depth) && !full();
  }

  // Looks for splits of a node and, if there is one, of its sibling, whose histogram is the
  // parent's minus the node's. The node is the smaller of the two.
  void find_splits(int32_t node, int32_t sibling, Histogram parent) {
    nodes_[node].histogram = pool_.take(packing_of(nodes_[node].rows.count));
    if (sibling != kNone) {
      const Packing packing = packing_of(nodes_[sibling].rows.count);
      nodes_[sibling].histogram = packing == parent.packing ? parent : pool_.take(packing);
    }
    std::vector<Histogram> parts = sum(node);
    std::vector<std::array<Split, 2>> best(slices_.size());
    parallel_tasks(static_cast<int64_t>(slices_.size()), [&](int64_t s) {
      for (size_t part = 1; part < parts.size(); ++part) add(parts[part], parts[0], slices_[s]);
      if (sibling != kNone) subtract(parent, node, sibling, slices_[s]);
      if (may_split(node)) scan(node, slices_[s], best[s][0]);
      if (sibling != kNone && may_split(sibling)) scan(sibling, slices_[s], best[s][1]);
    });
    for (size_t part = 1; part < parts.size(); ++part) pool_.give_back(parts[part]);
    if (sibling != kNone && nodes_[sibling].histogram.sums != parent.sums) pool_.give_back(parent);
    keep_best(node, best, 0);
    if (sibling != kNone) keep_best(sibling, best, 1);
  }

  // The histogram of a node, in parts of its rows to be added to the first, which is the node's.
  std::vector<Histogram> sum(int32_t node) {
    const OpenNode& n = nodes_[node];
    const int64_t count = std::clamp<int64_t>(n.rows.count / kSumGrain, 1, num_threads());
    std::vector<Histogram> parts{n.histogram};
    while (static_cast<int64_t>(parts.size()) < count) {
      parts.push_back(pool_.take(n.histogram.packing));
    }
    parallel_tasks(count, [&](int64_t part) {
      const int64_t begin = n.rows.count * part / count, end = n.rows.count * (part + 1) / count;
      HistogramArgs args;
      args.bins = &bins_;
      args.slice = {features_.data(), static_cast<int32_t>(features_.size())};
      args.rows = rows_.data() + n.rows.begin + begin;
      args.consecutive = n.rows.count == bins_.rows;
      args.count = end - begin;
      args.packing = fixed_.packing;
      args.block = fixed_.block;
      args.result = n.histogram.packing;
      for (int32_t o = 0; o < input_.outputs; ++o) {
        args.words = fixed_.output(o, bins_.rows);
        args.sums = output(parts[part], o).sums;
        tree_histogram(args);
      }
    });
    return parts;
  }

  void add(const Histogram& from, const Histogram& into, const FeatureSlice& slice) {
    for (int32_t o = 0; o < input_.outputs; ++o) {
      tree_add(bins_, slice, output(from, o), output(into, o));
    }
  }

  void subtract(const Histogram& parent, int32_t node, int32_t sibling, const FeatureSlice& slice) {
    for (int32_t o = 0; o < input_.outputs; ++o) {
      tree_subtract(bins_, slice, output(parent, o), output(nodes_[node].histogram, o),
                    output(nodes_[sibling].histogram, o));
    }
  }

  Histogram output(Histogram histogram, int32_t o) const {
    const int64_t word = with_word(histogram.packing, [](auto w) { return sizeof w; });
    histogram.sums = static_cast<char*>(histogram.sums) + o * bins_.total * word;
    return histogram;
  }

  void scan(int32_t node, const FeatureSlice& slice, Split& best) {
    ScanArgs args;
    args.bins = &bins_;
    args.slice = slice;
    args.histogram = nodes_[node].histogram;
    args.outputs = input_.outputs;
    args.totals = totals_.data() + int64_t{node} * input_.outputs;
    args.rules = &rules_;
    args.bounds = nodes_[node].bounds;
    tree_best_split(args, best);
  }

  void keep_best(int32_t node, std::vector<std::array<Split, 2>>& best, int which) {
    Split& split = nodes_[node].split;
    for (auto& of_slice : best) {
      if (of_slice[which].better_than(split)) split = std::move(of_slice[which]);
    }
    if (split.feature == kNone) {
      pool_.give_back(nodes_[node].histogram);
    } else {
      queue_.push({split.gain, nodes_[node].depth, node});
    }
  }

  void split(int32_t node) {
    const Split split = nodes_[node].split;
    const Segment rows = nodes_[node].rows;
    const int32_t depth = nodes_[node].depth + 1;
    const int64_t lefts = partition(rows, split);
    const int64_t rights = rows.count - lefts;

    std::vector<Pair> left_totals = split.left, right_totals = split.left;
    for (int32_t o = 0; o < input_.outputs; ++o) {
      right_totals[o] = totals_[int64_t{node} * input_.outputs + o] - split.left[o];
    }
    const auto [left_bounds, right_bounds] = child_bounds(node, left_totals, right_totals);
    const int32_t left = add_node({rows.begin, lefts}, depth, left_bounds, left_totals);
    const int32_t right = add_node({rows.begin + lefts, rights}, depth, right_bounds, right_totals);
    tree_.feature[node] = split.feature;
    tree_.bin[node] = split.bin;
    tree_.left[node] = left;
    tree_.right[node] = right;
    // A missing value where training saw none goes with the majority.
    tree_.default_left[node] = split.saw_missing ? split.missing_left : lefts >= rights;
    tree_.gain[node] = static_cast<float>(split.gain);
    ++leaves_;

    const int32_t small = lefts <= rights ? left : right, large = lefts <= rights ? right : left;
    Histogram parent = nodes_[node].histogram;
    if (may_split(large)) {
      find_splits(small, large, parent);
    } else {
      pool_.give_back(parent);
      if (may_split(small)) find_splits(small, kNone, {});
    }
  }

  std::pair<Bounds, Bounds> child_bounds(int32_t node, const std::vector<Pair>& left,
                                         const std::vector<Pair>& right) const {
    const Bounds own = nodes_[node].bounds;
    const int sign = rules_.monotone ? rules_.monotone[nodes_[node].split.feature] : 0;
    if (sign == 0) return {own, own};
    const auto weight = [&](Pair sum) {
      return options_.objective.weight(static_cast<double>(sum[0]) * rules_.gradient_unit,
                                       static_cast<double>(sum[1]) * rules_.hessian_unit, own);
    };
    const double middle = (weight(left[0]) + weight(right[0])) / 2;
    const Bounds below{own.low, middle}, above{middle, own.high};
    return sign > 0 ? std::pair{below, above} : std::pair{above, below};
  }

  // Stable; returns how many rows went left.
  int64_t partition(Segment segment, const Split& split) {
    const Feature& f = bins_.features[split.feature];
    std::vector<uint8_t> goes_left(f.codes());
    for (int32_t code = 0; code < f.bins; ++code) goes_left[code] = code <= split.bin;
    if (f.missing) goes_left[f.bins] = split.missing_left;

    PartitionArgs args;
    if (f.wide) {
      args.wide = bins_.wide.by_column + f.column * bins_.rows;
    } else {
      args.narrow = bins_.narrow.by_column + f.column * bins_.rows;
    }
    args.goes_left = goes_left.data();
    int32_t* rows = rows_.data() + segment.begin;
    int32_t* spare = spare_.data() + segment.begin;

    const int64_t parts = std::clamp<int64_t>(segment.count / kPartitionGrain, 1, num_threads());
    std::vector<int64_t> lefts(parts);
    const auto start = [&](int64_t part) { return segment.count * part / parts; };
    parallel_tasks(parts, [&](int64_t part) {
      PartitionArgs own = args;
      own.rows = own.left = rows + start(part);
      own.count = start(part + 1) - start(part);
      own.right = spare + start(part);
      own.lefts = &lefts[part];
      tree_partition(own);
    });
    // The lefts of each part close up first, then the rights follow in order.
    int64_t end = lefts[0];
    for (int64_t part = 1; part < parts; ++part) {
      std::memmove(rows + end, rows + start(part), lefts[part] * sizeof(int32_t));
      end += lefts[part];
    }
    std::vector<int64_t> target(parts, end);
    for (int64_t part = 1; part < parts; ++part) {
      target[part] = target[part - 1] + start(part) - start(part - 1) - lefts[part - 1];
    }
    parallel_tasks(parts, [&](int64_t part) {
      const int64_t rights = start(part + 1) - start(part) - lefts[part];
      std::memcpy(rows + target[part], spare + start(part), rights * sizeof(int32_t));
    });
    return end;
  }

  const GrowInput& input_;
  const GrowOptions& options_;
  const Bins& bins_;
  FixedPoint fixed_;
  HistogramPool pool_;
  Scratch<int32_t> rows_, spare_;
  SplitRules rules_;
  std::vector<int32_t> features_;
  std::vector<FeatureSlice> slices_;
  std::vector<OpenNode> nodes_;
  std::vector<Pair> totals_;  // (nodes, outputs)
  std::priority_queue<Queued, std::vector<Queued>, Later> queue_;
  int32_t leaves_ = 0;
  GrownTree tree_;
};

}  // namespace

GrownTree grow_tree(const GrowInput& input, const GrowOptions& options, int32_t* leaf_of_row,
                    Checkpoint checkpoint) {
  return Grower(input, options).grow(leaf_of_row, checkpoint);
}

}  // namespace pyllm::trees
