#include "bindings_cuda/tree_waves.h"

#include <algorithm>

#include "cpu/trees/node_sums.h"
#include "cpu/trees/sampling.h"

namespace pyllm::bind_cuda {
namespace {

using trees::Segment;

constexpr int64_t kPartitionTile = 2048;  // rows (tree_partition.h)
constexpr int64_t kCountsBytes = 64 << 20;

// Histograms that a tree may have use for at a time: of its leaves, of what their splits would
// make of them.
int64_t places_needed(const DeviceGrowInput& in, const trees::GrowOptions& o) {
  int64_t leaves = std::max<int64_t>(in.count, 1);
  if (o.max_leaves > 0) leaves = std::min<int64_t>(leaves, o.max_leaves);
  if (o.max_depth > 0 && o.max_depth < 32) leaves = std::min(leaves, int64_t{1} << o.max_depth);
  return 3 * leaves + 4;
}

std::vector<int64_t> flat(const std::vector<Segment>& segments) {
  std::vector<int64_t> numbers;
  for (const Segment& s : segments) numbers.insert(numbers.end(), {s.begin, s.count});
  return numbers;
}

int64_t most_of(const std::vector<Segment>& segments) {
  int64_t most = 0;
  for (const Segment& s : segments) most = std::max(most, s.count);
  return most;
}

}  // namespace

Waves::Waves(const DeviceGrowInput& input, const trees::GrowOptions& options,
             const DeviceFixedPoint& fixed)
    : input_(input),
      options_(options),
      fixed_(fixed),
      bins_(*input.bins),
      rules_(input, options, fixed),
      places_(bins_.total * input.outputs, places_needed(input, options), input.stream),
      rows_memory_(allocate(2 * static_cast<size_t>(input.count) * sizeof(int32_t), input.stream)),
      rows_(static_cast<int32_t*>(rows_memory_.get())),
      sorted_(rows_ + input.count) {
  copy_rows(input.rows, rows_, {{0, input.count}});
}

bool Waves::may_split(const DeviceNode& node) const {
  const int64_t least = 2 * std::max<int64_t>(options_.min_child_samples, 1);
  return node.rows.count >= std::max(least, options_.min_split_samples) &&
         (options_.max_depth == 0 || node.depth < options_.max_depth);
}

void Waves::copy_rows(const int32_t* from, int32_t* to, const std::vector<Segment>& segments) {
  if (segments.empty()) return;
  TreeCopyRows args{};
  Upload upload;
  upload.add(args.segments, flat(segments));
  upload.send(stream());
  args.from = from, args.to = to;
  args.nodes = static_cast<int64_t>(segments.size()), args.most_rows = most_of(segments);
  check(pyllm_cuda_tree_copy_rows(&args, stream().handle()), "copying rows");
}

const int32_t* Waves::rows() {
  copy_rows(sorted_, rows_, std::exchange(adopted_, {}));
  return rows_;
}

DeviceNode Waves::root() {
  DeviceNode node;
  node.rows = {0, input_.count};
  node.totals = fixed_.totals;
  if (!may_split(node)) return node;
  node.place = places_.take();
  const std::vector<DeviceNode*> nodes{&node};
  SplitSearch search(rules_, nodes);
  TreeHistogram histogram = histograms_of(fixed_.wide);
  Upload upload;
  Download download;
  upload.add(histogram.segments, flat({node.rows}));
  upload.add(histogram.places, std::vector<int64_t>{node.place});
  search.add_to(upload, download);
  upload.send(stream());
  download.make(stream());
  histogram.rows = input_.count < bins_.rows() ? rows_ : nullptr;
  histogram.nodes = 1, histogram.most_rows = input_.count;
  sum(histogram);
  search.launch(places_.histograms());
  download.fetch(stream());
  search.take_splits();
  take_best(nodes, rows_);
  return node;
}

// But for the nodes.
TreeHistogram Waves::histograms_of(bool wide_sums) const {
  const FeatureGroups& groups = wide_sums ? bins_.wide_groups : bins_.groups;
  TreeHistogram args{};
  args.codes = bins_.codes.by_row.view.data;
  args.codes_row_stride = bins_.codes.by_row.view.shape[1];
  args.bin_offset = bins_.bin_offset;
  args.features = static_cast<int64_t>(bins_.features.size()), args.total_bins = bins_.total;
  args.features_per_group = groups.features, args.group_bins = groups.bins;
  args.wide = bins_.codes.wide(), args.wide_sums = wide_sums;
  return args;
}

void Waves::sum(TreeHistogram& args) {
  args.histogram_node_stride = bins_.total * input_.outputs * 2;
  for (int64_t o = 0; o < input_.outputs; ++o) {
    args.quantized = fixed_.output(o, bins_.rows());
    args.histograms = places_.histograms() + o * bins_.total * 2;
    check(pyllm_cuda_tree_histogram(&args, stream().handle()), "summing histograms");
  }
}

void Waves::make_children(DeviceNode& node) const {
  const trees::Split& split = node.split;
  node.children = std::make_unique<std::array<DeviceNode, 2>>();
  auto& [left, right] = *node.children;
  left.totals = split.left;
  for (size_t o = 0; o < node.totals.size(); ++o) {
    right.totals.push_back(node.totals[o] - split.left[o]);
  }
  for (DeviceNode& child : *node.children) {
    child.depth = node.depth + 1;
    child.key = trees::child_key(node.key, &child == &right);
    child.bounds = node.bounds;
    if (options_.interaction.empty()) continue;
    child.path = node.path;
    child.path.push_back(split.feature);
  }
  if (options_.monotone.empty() || options_.monotone[split.feature] == 0) return;
  const auto weight = [&](const DeviceNode& child) {
    const trees::Pair sum = child.totals[0];
    return options_.objective.weight(static_cast<double>(sum[0]) * fixed_.gradient_unit,
                                     static_cast<double>(sum[1]) * fixed_.hessian_unit,
                                     node.bounds);
  };
  const double middle = (weight(left) + weight(right)) / 2;
  const bool rising = options_.monotone[split.feature] > 0;
  (rising ? left : right).bounds.high = middle;
  (rising ? right : left).bounds.low = middle;
}

void Waves::carry_out(std::span<DeviceNode* const> nodes, bool search) {
  rows();
  TreePartition parted{};
  TreeChildren made{};
  TreeHistogram histogram = histograms_of(fixed_.wide);
  TreeSubtract subtract{};
  const auto n = static_cast<int64_t>(nodes.size());
  std::vector<Segment> segments;
  std::vector<int32_t> feature, bin, missing_code, missing_left;
  std::vector<int64_t> parent_places, places;
  std::vector<DeviceNode*> children;
  for (DeviceNode* node : nodes) {
    make_children(*node);
    const trees::Split& split = node->split;
    segments.push_back(node->rows);
    feature.push_back(split.feature);
    bin.push_back(split.bin);
    missing_code.push_back(bins_.features[split.feature].bins);
    missing_left.push_back(split.missing_left);
    parent_places.push_back(node->place);
    const bool alone = node->place == kNowhere;
    histogram.most_rows = std::max(histogram.most_rows, node->rows.count / (alone ? 1 : 2));
    for (DeviceNode& child : *node->children) {
      children.push_back(&child);
      if (search) child.place = places_.take();
      places.push_back(child.place);
    }
  }
  SplitSearch splits(rules_, children);
  Upload upload;
  Download download;
  std::vector<int64_t> lefts;
  upload.add(parted.segments, flat(segments));
  upload.add(parted.feature, feature);
  upload.add(parted.bin, bin);
  upload.add(parted.missing_code, missing_code);
  upload.add(parted.missing_left, missing_left);
  upload.add(parted.category_start, std::vector<int64_t>(nodes.size(), -1));
  upload.add(made.parent_places, parent_places);
  upload.add(made.places, places);
  download.add(parted.lefts, n, lefts);
  if (search) splits.add_to(upload, download);
  upload.send(stream());
  download.make(stream());

  const int64_t tiles = (most_of(segments) + kPartitionTile - 1) / kPartitionTile;
  const auto counts = allocate(static_cast<size_t>(n * tiles + 1) * sizeof(int32_t), stream());
  parted.codes = bins_.codes.by_column.view.data;
  parted.codes_column_stride = bins_.rows(), parted.wide = bins_.codes.wide();
  parted.rows = rows_, parted.sorted = sorted_;
  parted.counts = static_cast<int32_t*>(counts.get());
  parted.nodes = n, parted.most_rows = most_of(segments);
  check(pyllm_cuda_tree_partition(&parted, stream().handle()), "parting rows");
  if (search) {
    const auto memory = allocate(static_cast<size_t>(8 * n) * sizeof(int64_t), stream());
    made.summed = static_cast<int64_t*>(memory.get());
    made.summed_places = made.summed + 4 * n;
    made.known = made.summed_places + 2 * n, made.sibling = made.known + n;
    made.segments = parted.segments, made.lefts = parted.lefts, made.nodes = n;
    check(pyllm_cuda_tree_children(&made, stream().handle()), "placing children");
    histogram.segments = made.summed, histogram.places = made.summed_places;
    histogram.rows = sorted_, histogram.nodes = 2 * n;
    sum(histogram);
    subtract.histograms = places_.histograms(), subtract.parent = made.parent_places;
    subtract.child = made.known, subtract.sibling = made.sibling;
    subtract.pairs = n, subtract.bins = bins_.total * input_.outputs;
    check(pyllm_cuda_tree_subtract(&subtract, stream().handle()), "subtracting histograms");
    splits.launch(places_.histograms());
  }
  download.fetch(stream());

  for (size_t i = 0; i < nodes.size(); ++i) {
    auto& [left, right] = *nodes[i]->children;
    const Segment rows = nodes[i]->rows;
    left.rows = {rows.begin, lefts[i]};
    right.rows = {rows.begin + lefts[i], rows.count - lefts[i]};
    places_.give_back(*nodes[i]);
  }
  if (!search) return;
  splits.take_splits();
  take_best(children, sorted_);
}

// Keeps the splits that were found where the nodes may have them and leave enough rows.
void Waves::take_best(const std::vector<DeviceNode*>& nodes, const int32_t* rows) {
  std::vector<DeviceNode*> doubtful;
  for (DeviceNode* node : nodes) {
    if (!may_split(*node)) node->split = {};
    if (!surely_leaves_enough_rows(*node)) doubtful.push_back(node);
  }
  const int64_t bytes = std::max<int64_t>(bins_.total, 1) * 2 * int64_t{sizeof(int64_t)};
  const auto step = static_cast<size_t>(std::max<int64_t>(1, kCountsBytes / bytes));
  for (size_t begin = 0; begin < doubtful.size(); begin += step) {
    search_by_counts(
        std::span(doubtful).subspan(begin).first(std::min(step, doubtful.size() - begin)), rows);
  }
  for (DeviceNode* node : nodes) {
    if (node->split.feature < 0) places_.give_back(*node);
  }
}

// Histograms hold no counts; sums of hessians mostly tell that there are rows enough.
bool Waves::surely_leaves_enough_rows(const DeviceNode& node) const {
  const int64_t least = options_.min_child_samples;
  if (node.split.feature < 0 || least <= 1 || fixed_.least_hessian == fixed_.most_hessian) {
    return true;
  }
  const int64_t left = node.split.left[0][1], right = node.totals[0][1] - left;
  return std::min(left, right) >= least * fixed_.most_hessian;
}

// The best splits of nodes among those whose children have rows enough, counted in every bin.
void Waves::search_by_counts(std::span<DeviceNode* const> nodes, const int32_t* rows) {
  const std::vector<DeviceNode*> list(nodes.begin(), nodes.end());
  if (!ones_) {
    ones_ = allocate(static_cast<size_t>(bins_.rows()) * sizeof(int64_t), stream());
    StridedCopy fill{};
    fill.to = ones_.get(), fill.shape[0] = bins_.rows(), fill.to_strides[0] = 1;
    fill.fill = uint64_t{1} << 32, fill.ndim = 1, fill.item = sizeof(int64_t);
    check(pyllm_cuda_strided_copy(&fill, stream().handle()), "counting rows");
  }
  std::vector<Segment> segments;
  std::vector<int64_t> node_rows;
  for (const DeviceNode* node : list) {
    segments.push_back(node->rows);
    node_rows.push_back(node->rows.count);
  }
  SplitSearch search(rules_, list);
  TreeHistogram args = histograms_of(false);
  const int64_t* device_rows = nullptr;
  Upload upload;
  Download download;
  upload.add(args.segments, flat(segments));
  upload.add(device_rows, node_rows);
  search.add_to(upload, download);
  upload.send(stream());
  download.make(stream());
  const auto counts =
      allocate(list.size() * static_cast<size_t>(bins_.total) * 2 * sizeof(int64_t), stream());
  args.quantized = ones_.get(), args.rows = rows;
  args.histograms = static_cast<int64_t*>(counts.get());
  args.histogram_node_stride = 2 * bins_.total;
  args.nodes = static_cast<int64_t>(list.size()), args.most_rows = most_of(segments);
  check(pyllm_cuda_tree_histogram(&args, stream().handle()), "counting rows");
  search.launch(places_.histograms(), args.histograms, device_rows);
  download.fetch(stream());
  search.take_splits();
}

}  // namespace pyllm::bind_cuda
