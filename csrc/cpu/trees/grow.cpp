// Growing one tree.
//
// A node's rows are a segment of one array of row numbers; a split partitions the segment. Of the
// two children only the smaller one's histogram is summed, the other's is the parent's minus it.
// The next node to split is the one with the highest gain (leaf-wise), or the next of the level.
// All sums that decide are integers, so the order in which threads finish changes nothing.
#include "cpu/trees/grow.h"

#include <algorithm>
#include <memory>
#include <queue>
#include <utility>

#include "core/scratch.h"
#include "cpu/trees/histogram_pool.h"
#include "cpu/trees/node_values.h"
#include "cpu/trees/sampling.h"
#include "cpu/trees/segment.h"
#include "cpu/trees/shared.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kSumGrain = 512;  // rows that a thread sums at least
// Where a node looks at a smaller share of the features, its histogram is summed for these alone
// and not kept for its children.
constexpr double kSubtractShare = 0.5;
// Rows of a node whose subtree one thread grows, and how many a thread gets between checkpoints.
constexpr int64_t kSubtreeRows = 4096;
constexpr int64_t kSubtreesAtOnce = 32;
constexpr int32_t kNone = -1;

struct OpenNode {
  Segment rows;
  int32_t depth = 0;
  uint64_t key = 0;           // what it draws by
  std::vector<int32_t> path;  // features of the splits above, where interactions are limited
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

// Grows a tree, or what is below one node of it.
class Grower {
 public:
  Grower(Shared& shared, OpenNode root, const std::vector<Pair>& totals)
      : shared_(shared),
        input_(shared.input),
        options_(shared.options),
        bins_(*shared.input.bins),
        fixed_(shared.fixed),
        pool_(bins_.total * input_.outputs),
        rows_(shared.rows),
        spare_(shared.spare),
        rules_(shared.rules),
        features_(shared.features),
        subtracts_(options_.share_by_level * options_.share_by_node > kSubtractShare),
        defers_(options_.max_leaves == 0 && root.rows.count > kSubtreeRows),
        queue_(Later{options_.leafwise}) {
    add_node(std::move(root), totals);
  }

  GrownTree grow(int32_t* leaf_of_row, Checkpoint checkpoint) {
    run(checkpoint);
    if (defers_) {
      grow_subtrees(checkpoint);
      number_like_a_queue();
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
  void run(Checkpoint checkpoint) {
    if (may_split(0)) find_splits_alone(0);
    while (!queue_.empty() && !full()) {
      checkpoint();
      const int32_t node = queue_.top().node;
      queue_.pop();
      split(node);
    }
  }

  // Where all leaves are split as far as they go, the order does not matter: what is below a node
  // of few rows is left to one thread. That also bounds how many histograms are kept.
  void grow_subtrees(Checkpoint checkpoint) {
    const auto count = static_cast<int64_t>(deferred_.size());
    const int64_t step = kSubtreesAtOnce * num_threads();
    for (int64_t begin = 0; begin < count; begin += step) {
      checkpoint();
      const int64_t end = std::min(begin + step, count);
      std::vector<std::unique_ptr<Grower>> grown(end - begin);
      parallel_tasks(end - begin, [&](int64_t i) {
        const int32_t node = deferred_[begin + i];
        const Pair* totals = totals_.data() + int64_t{node} * input_.outputs;
        grown[i] = std::make_unique<Grower>(shared_, nodes_[node],
                                            std::vector<Pair>(totals, totals + input_.outputs));
        grown[i]->run([] {});
        grown[i]->pool_ = HistogramPool(0);
      });
      for (int64_t i = 0; i < end - begin; ++i) graft(deferred_[begin + i], *grown[i]);
    }
  }

  // Node 0 of the subtree is `node`; the others follow.
  void graft(int32_t node, Grower& subtree) {
    const auto base = static_cast<int32_t>(nodes_.size()) - 1;
    const auto words = static_cast<int64_t>(tree_.categories.size());
    GrownTree& from = subtree.tree_;
    for (size_t i = 0; i < subtree.nodes_.size(); ++i) {
      const int32_t at = i == 0 ? node : add_node({}, {});
      nodes_[at] = std::move(subtree.nodes_[i]);
      tree_.feature[at] = from.feature[i];
      tree_.bin[at] = from.bin[i];
      tree_.left[at] = from.left[i] < 0 ? kNone : from.left[i] + base;
      tree_.right[at] = from.right[i] < 0 ? kNone : from.right[i] + base;
      tree_.default_left[at] = from.default_left[i];
      tree_.gain[at] = from.gain[i];
      const int64_t offset = from.category_offset[i];
      tree_.category_offset[at] = offset < 0 ? offset : offset + words;
    }
    tree_.categories.insert(tree_.categories.end(), from.categories.begin(), from.categories.end());
  }

  // Numbers the nodes as if they had been made in the order of the queue.
  void number_like_a_queue() {
    std::vector<int32_t> old{0};
    std::vector<OpenNode> nodes;
    const GrownTree from = std::exchange(tree_, {});
    const auto enqueue = [&](int32_t node) {
      const OpenNode& n = nodes_[old[node]];
      if (from.feature[old[node]] >= 0) queue_.push({n.split.gain, n.depth, node});
    };
    std::vector<int32_t> left(nodes_.size(), kNone), right(nodes_.size(), kNone);
    enqueue(0);
    while (!queue_.empty()) {
      const int32_t node = queue_.top().node;
      queue_.pop();
      left[node] = static_cast<int32_t>(old.size());
      right[node] = left[node] + 1;
      old.push_back(from.left[old[node]]);
      old.push_back(from.right[old[node]]);
      enqueue(left[node]);
      enqueue(right[node]);
    }
    tree_.left = std::move(left);
    tree_.right = std::move(right);
    for (const int32_t o : old) {
      nodes.push_back(std::move(nodes_[o]));
      tree_.feature.push_back(from.feature[o]);
      tree_.bin.push_back(from.bin[o]);
      tree_.default_left.push_back(from.default_left[o]);
      tree_.gain.push_back(from.gain[o]);
      tree_.category_offset.push_back(from.category_offset[o]);
      if (from.category_offset[o] < 0) continue;
      const auto words = from.categories.begin() + from.category_offset[o];
      const int32_t bins = bins_.features[from.feature[o]].bins;
      tree_.category_offset.back() = static_cast<int64_t>(tree_.categories.size());
      tree_.categories.insert(tree_.categories.end(), words, words + bins / 32 + 1);
    }
    nodes_ = std::move(nodes);
  }

  bool full() const { return options_.max_leaves > 0 && leaves_ >= options_.max_leaves; }

  std::vector<int32_t> features_of(const OpenNode& node) const {
    return shared_.features_of(node.key, node.depth, node.path);
  }

  Packing packing_of(int64_t count) const {
    return count <= fixed_.block ? fixed_.packing : Packing::bits64;
  }

  int32_t add_node(OpenNode node, const std::vector<Pair>& totals) {
    nodes_.push_back(std::move(node));
    totals_.insert(totals_.end(), totals.begin(), totals.end());
    tree_.feature.push_back(kNone);
    tree_.bin.push_back(0);
    tree_.left.push_back(kNone);
    tree_.right.push_back(kNone);
    tree_.default_left.push_back(0);
    tree_.category_offset.push_back(-1);
    tree_.gain.push_back(0);
    return static_cast<int32_t>(nodes_.size()) - 1;
  }

  bool may_split(int32_t node) const {
    const OpenNode& n = nodes_[node];
    const int64_t least = 2 * std::max<int64_t>(options_.min_child_samples, 1);
    return n.rows.count >= std::max(least, options_.min_split_samples) &&
           (options_.max_depth == 0 || n.depth < options_.max_depth) && !full();
  }

  // Looks for a split of a node without the help of its parent's histogram.
  void find_splits_alone(int32_t node) {
    OpenNode& n = nodes_[node];
    const std::vector<int32_t> allowed = features_of(n);
    if (allowed.empty()) return;
    if (n.rows.count <= kFewRows) {
      FewRowsArgs args;
      args.scan = scan_args(node, as_slice(allowed));
      args.packing = fixed_.packing;
      args.rows = rows_.data() + n.rows.begin;
      args.count = n.rows.count;
      args.words = fixed_.output(0, bins_.rows);
      tree_best_split_of_few(args, n.split);
      keep(node);
      return;
    }
    n.histogram = pool_.take(packing_of(n.rows.count));
    const std::vector<int32_t>& summed = subtracts_ ? features_ : allowed;
    const std::vector<Histogram> parts = sum(node, as_slice(summed));
    if (parts.size() > 1) {
      in_slices(summed, [&](const FeatureSlice& slice, size_t) { add(parts, slice); });
    }
    std::vector<Split> best(num_threads());
    in_slices(allowed, [&](const FeatureSlice& slice, size_t s) {
      tree_best_split(scan_args(node, slice), best[s]);
    });
    give_back(parts);
    keep_best(node, best);
    if (!subtracts_) pool_.give_back(nodes_[node].histogram);
  }

  // Looks for splits of two siblings: the larger one's histogram is the parent's minus the other's.
  void find_splits(int32_t small, int32_t large, Histogram parent) {
    nodes_[small].histogram = pool_.take(packing_of(nodes_[small].rows.count));
    const Packing packing = packing_of(nodes_[large].rows.count);
    nodes_[large].histogram = packing == parent.packing ? parent : pool_.take(packing);
    const std::vector<Histogram> parts = sum(small, as_slice(features_));
    const bool all =
        options_.share_by_level * options_.share_by_node >= 1 && options_.interaction.empty();
    std::vector<Split> of_small(num_threads()), of_large(num_threads());
    in_slices(features_, [&](const FeatureSlice& slice, size_t s) {
      add(parts, slice);
      subtract(parent, small, large, slice);
      if (!all) return;
      if (may_split(small)) tree_best_split(scan_args(small, slice), of_small[s]);
      tree_best_split(scan_args(large, slice), of_large[s]);
    });
    if (!all) {
      if (may_split(small)) scan_allowed(small, of_small);
      scan_allowed(large, of_large);
    }
    give_back(parts);
    if (nodes_[large].histogram.sums != parent.sums) pool_.give_back(parent);
    keep_best(small, of_small);
    keep_best(large, of_large);
  }

  void scan_allowed(int32_t node, std::vector<Split>& best) {
    in_slices(features_of(nodes_[node]), [&](const FeatureSlice& slice, size_t s) {
      tree_best_split(scan_args(node, slice), best[s]);
    });
  }

  static FeatureSlice as_slice(const std::vector<int32_t>& features) {
    return {features.data(), static_cast<int32_t>(features.size())};
  }

  // Calls body on a slice of the features a thread.
  template <class Body>
  void in_slices(const std::vector<int32_t>& features, Body&& body) {
    const auto count = static_cast<int64_t>(features.size());
    const int64_t slices = std::min<int64_t>(count, num_threads());
    parallel_tasks(slices, [&](int64_t s) {
      const int64_t begin = s * count / slices, end = (s + 1) * count / slices;
      body(FeatureSlice{features.data() + begin, static_cast<int32_t>(end - begin)},
           static_cast<size_t>(s));
    });
  }

  // The histogram of a node, in parts of its rows to be added to the first, which is the node's.
  std::vector<Histogram> sum(int32_t node, const FeatureSlice& slice) {
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
      args.slice = slice;
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

  void add(const std::vector<Histogram>& parts, const FeatureSlice& slice) {
    for (size_t part = 1; part < parts.size(); ++part) {
      for (int32_t o = 0; o < input_.outputs; ++o) {
        tree_add(bins_, slice, output(parts[part], o), output(parts[0], o));
      }
    }
  }

  void give_back(std::vector<Histogram> parts) {
    for (size_t part = 1; part < parts.size(); ++part) pool_.give_back(parts[part]);
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

  ScanArgs scan_args(int32_t node, const FeatureSlice& slice) const {
    ScanArgs args;
    args.bins = &bins_;
    args.slice = slice;
    args.histogram = nodes_[node].histogram;
    args.outputs = input_.outputs;
    args.totals = totals_.data() + int64_t{node} * input_.outputs;
    args.rules = &rules_;
    args.bounds = nodes_[node].bounds;
    args.key = nodes_[node].key;
    args.min_rows = options_.min_child_samples;
    args.count = nodes_[node].rows.count;
    return args;
  }

  void keep_best(int32_t node, std::vector<Split>& best) {
    Split& split = nodes_[node].split;
    for (Split& of_slice : best) {
      if (of_slice.better_than(split)) split = std::move(of_slice);
    }
    if (!leaves_enough_rows(node)) split_by_counts(node);
    keep(node);
  }

  // Histograms hold no counts. Sums of hessians mostly tell that there are rows enough; where they
  // do not, the rows of the best split are counted.
  bool leaves_enough_rows(int32_t node) const {
    const OpenNode& n = nodes_[node];
    const int64_t least = options_.min_child_samples;
    if (n.split.feature == kNone || least <= 1 || fixed_.least_hessian == fixed_.most_hessian) {
      return true;
    }
    const int64_t left = n.split.left[0][1];
    const int64_t right = totals_[int64_t{node} * input_.outputs][1] - left;
    if (std::min(left, right) >= least * fixed_.most_hessian) return true;
    const Feature& f = bins_.features[n.split.feature];
    const std::vector<uint8_t> goes_left = left_codes(f, n.split);
    int64_t lefts = 0;
    for (int64_t i = n.rows.begin; i < n.rows.begin + n.rows.count; ++i) {
      const int64_t at = f.column * bins_.rows + rows_[i];
      lefts += goes_left[f.wide ? bins_.wide.by_column[at] : bins_.narrow.by_column[at]];
    }
    return std::min(lefts, n.rows.count - lefts) >= least;
  }

  // The best split of a node whose children have rows enough, by counting them in every bin.
  void split_by_counts(int32_t node) {
    OpenNode& n = nodes_[node];
    n.split = {};
    if (!ones_.data()) {
      ones_ = Scratch<int32_t>(bins_.rows);
      std::fill_n(ones_.data(), bins_.rows, 1);
    }
    const std::vector<int32_t> allowed = features_of(n);
    HistogramArgs args;
    args.bins = &bins_;
    args.slice = as_slice(allowed);
    args.rows = rows_.data() + n.rows.begin;
    args.count = n.rows.count;
    args.packing = Packing::bits16;
    args.words = ones_.data();
    args.block = INT16_MAX;
    args.result = n.rows.count <= args.block ? Packing::bits16 : Packing::bits64;
    Histogram counts = pool_.take(args.result);
    args.sums = counts.sums;
    tree_histogram(args);
    ScanArgs scan = scan_args(node, as_slice(allowed));
    scan.counts = counts;
    tree_best_split(scan, n.split);
    pool_.give_back(counts);
  }

  void keep(int32_t node) {
    const Split& split = nodes_[node].split;
    if (split.feature == kNone) {
      pool_.give_back(nodes_[node].histogram);
    } else {
      queue_.push({split.gain, nodes_[node].depth, node});
    }
  }

  void split(int32_t node) {
    const Split split = nodes_[node].split;
    const Segment rows = nodes_[node].rows;
    const int64_t lefts = partition_segment(bins_, split, rows_.data() + rows.begin,
                                            spare_.data() + rows.begin, rows.count);
    const int64_t rights = rows.count - lefts;

    std::vector<Pair> left_totals = split.left, right_totals = split.left;
    for (int32_t o = 0; o < input_.outputs; ++o) {
      right_totals[o] = totals_[int64_t{node} * input_.outputs + o] - split.left[o];
    }
    const auto [left_bounds, right_bounds] = child_bounds(node, left_totals, right_totals);
    OpenNode child;
    child.depth = nodes_[node].depth + 1;
    if (!options_.interaction.empty()) {
      child.path = nodes_[node].path;
      child.path.push_back(split.feature);
    }
    const uint64_t key = nodes_[node].key;
    child.rows = {rows.begin, lefts};
    child.key = child_key(key, false);
    child.bounds = left_bounds;
    const int32_t left = add_node(child, left_totals);
    child.rows = {rows.begin + lefts, rights};
    child.key = child_key(key, true);
    child.bounds = right_bounds;
    const int32_t right = add_node(std::move(child), right_totals);
    tree_.feature[node] = split.feature;
    tree_.bin[node] = split.bin;
    if (!split.categories.empty()) {
      tree_.category_offset[node] = static_cast<int64_t>(tree_.categories.size());
      tree_.categories.insert(tree_.categories.end(), split.categories.begin(),
                              split.categories.end());
    }
    tree_.left[node] = left;
    tree_.right[node] = right;
    // A missing value where training saw none goes with the majority.
    tree_.default_left[node] = split.saw_missing ? split.missing_left : lefts >= rights;
    tree_.gain[node] = static_cast<float>(split.gain);
    ++leaves_;

    const int32_t small = lefts <= rights ? left : right, large = lefts <= rights ? right : left;
    Histogram parent = std::exchange(nodes_[node].histogram, {});
    const int64_t alone = defers_ ? kSubtreeRows : kFewRows;
    if (parent.sums && subtracts_ && may_split(large) && nodes_[large].rows.count > alone) {
      find_splits(small, large, parent);
      return;
    }
    pool_.give_back(parent);
    for (const int32_t child_node : {left, right}) {
      if (!may_split(child_node)) continue;
      if (defers_ && nodes_[child_node].rows.count <= kSubtreeRows) {
        deferred_.push_back(child_node);
      } else {
        find_splits_alone(child_node);
      }
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

  Shared& shared_;
  const GrowInput& input_;
  const GrowOptions& options_;
  const Bins& bins_;
  const FixedPoint& fixed_;
  HistogramPool pool_;
  const Scratch<int32_t>&rows_, &spare_;
  Scratch<int32_t> ones_;
  const SplitRules& rules_;
  const std::vector<int32_t>& features_;
  const bool subtracts_;  // histograms are kept for the children
  const bool defers_;     // small subtrees are grown last
  std::vector<int32_t> deferred_;
  std::vector<OpenNode> nodes_;
  std::vector<Pair> totals_;  // (nodes, outputs)
  std::priority_queue<Queued, std::vector<Queued>, Later> queue_;
  int32_t leaves_ = 1;
  GrownTree tree_;
};

}  // namespace

GrownTree grow_tree(const GrowInput& input, const GrowOptions& options, int32_t* leaf_of_row,
                    Checkpoint checkpoint) {
  Shared shared(input, options);
  OpenNode root;
  root.rows = {0, input.count};
  root.key = 1;
  return Grower(shared, std::move(root), shared.fixed.totals).grow(leaf_of_row, checkpoint);
}

}  // namespace pyllm::trees
