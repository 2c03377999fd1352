// Depth first: of two children the smaller one comes next, so that few nodes are open at a time.
// The rows' codes and gradients are copied side by side first; nodes then pass around row numbers
// within the subtree, in the order that partition.cpp would leave them in.
#include "cpu/trees/plain_subtree.h"

#include <cstring>
#include <memory>
#include <numeric>

#include "cpu/trees/plain_random_cuts.h"
#include "cpu/trees/plain_scan.h"

namespace pyllm::PYLLM_ISA {
namespace {

class PlainGrower {
 public:
  PlainGrower(const PlainSubtreeArgs& args, CachedVector<TreeNode>& nodes)
      : shared_(*args.shared),
        outputs_(shared_.input.outputs),
        nodes_(nodes),
        first_(args.rows.begin),
        given_(shared_.rows.data() + first_, shared_.rows.data() + first_ + args.rows.count),
        order_(given_.size()),
        spare_(given_.size() + 1),
        words_(given_.size() * outputs_),
        codes_(copy_rows()),
        search_(make_search()) {
    std::iota(order_.begin(), order_.end(), 0);
    nodes_.push_back(leaf(args.rows, args.depth));
    open(0, args.key, args.totals);
  }

  void grow() {
    while (!open_.empty()) {
      const Open open = open_.back();
      open_.pop_back();
      totals_.assign(open_totals_.end() - outputs_, open_totals_.end());
      open_totals_.resize(open_totals_.size() - outputs_);
      grow(open);
    }
    for (size_t i = 0; i < order_.size(); ++i) shared_.rows[first_ + i] = given_[order_[i]];
  }

 private:
  struct Open {
    int32_t node;
    uint64_t key;
  };

  static TreeNode leaf(Segment rows, int32_t depth) {
    TreeNode node;
    node.rows = rows;
    node.depth = depth;
    return node;
  }

  PlainRows copy_rows() {
    const Bins& bins = *shared_.input.bins;
    const int64_t stride = bins.narrow.stride;
    const size_t count = given_.size();
    copied_ = Scratch<uint8_t>(count * stride);
    for (size_t i = 0; i < count; ++i) {
      std::memcpy(copied_.data() + i * stride, bins.narrow.by_row + given_[i] * stride, stride);
    }
    with_word(shared_.fixed.packing, [&](auto word) {
      const auto* words = static_cast<const decltype(word)*>(shared_.fixed.output(0, bins.rows));
      for (size_t i = 0; i < count; ++i) {
        for (int64_t o = 0; o < outputs_; ++o) {
          const Pair pair = unpack(words[o * bins.rows + given_[i]]);
          words_[i * outputs_ + o] = pack64(pair[0], pair[1]);
        }
      }
    });
    return {copied_.data(), stride, words_.data()};
  }

  std::unique_ptr<PlainSearch> make_search() const {
    if (shared_.rules.random_cuts) return std::make_unique<PlainRandomCuts>(shared_, codes_);
    return std::make_unique<PlainScan>(shared_, codes_);
  }

  void open(int32_t node, uint64_t key, const Pair* totals) {
    const TreeNode& n = nodes_[node];
    const GrowOptions& options = shared_.options;
    const int64_t least = 2 * std::max<int64_t>(options.min_child_samples, 1);
    if (n.rows.count < std::max(least, options.min_split_samples)) return;
    if (options.max_depth > 0 && n.depth >= options.max_depth) return;
    open_.push_back({node, key});
    open_totals_.insert(open_totals_.end(), totals, totals + outputs_);
  }

  void grow(const Open& open) {
    const Segment rows = nodes_[open.node].rows;
    int32_t* order = order_.data() + (rows.begin - first_);
    const auto count = static_cast<int32_t>(rows.count);
    if (same_ratio(order, count)) return;
    const PlainCut cut = search_->find({order, count, totals_.data(), open.key});
    if (cut.feature < 0) return;
    const int32_t lefts = partition(order, count, cut);
    const auto left = static_cast<int32_t>(nodes_.size());
    TreeNode& parent = nodes_[open.node];
    const int32_t depth = parent.depth + 1;
    parent.feature = cut.feature;
    parent.bin = cut.bin;
    parent.left = left;
    parent.right = left + 1;
    parent.gain = cut.gain;
    // A missing value where training saw none goes with the majority.
    parent.default_left = cut.saw_missing ? cut.missing_left : 2 * lefts >= count;
    nodes_.push_back(leaf({rows.begin, lefts}, depth));
    nodes_.push_back(leaf({rows.begin + lefts, count - lefts}, depth));
    for (int32_t o = 0; o < outputs_; ++o) totals_[o] -= search_->left()[o];
    const auto open_left = [&] { this->open(left, child_key(open.key, false), search_->left()); };
    const auto open_right = [&] {
      this->open(left + 1, child_key(open.key, true), totals_.data());
    };
    if (2 * lefts <= count) {
      open_right();
      open_left();
    } else {
      open_left();
      open_right();
    }
  }

  // Where gradients are the same multiple of hessians, in nodes of one class above all, no split
  // can gain.
  bool same_ratio(const int32_t* order, int32_t count) const {
    for (int32_t i = 0; i < count; ++i) {
      const int64_t* words = words_.data() + int64_t{order[i]} * outputs_;
      for (int32_t o = 0; o < outputs_; ++o) {
        const Pair pair = unpack(words[o]);
        if (pair[0] * totals_[o][1] != pair[1] * totals_[o][0]) return false;
      }
    }
    return true;
  }

  // Puts the rows that go left first; returns how many there are.
  int32_t partition(int32_t* order, int32_t count, const PlainCut& cut) {
    const Feature& f = shared_.input.bins->features[cut.feature];
    const uint8_t* codes = codes_.codes + f.column;
    const int32_t missing = cut.missing_left ? f.bins : -1;
    int32_t* left = order;
    int32_t* right = spare_.data();
    for (int32_t i = 0; i < count; ++i) {
      const int32_t row = order[i];
      const int32_t code = f.code(codes[row * codes_.stride]);
      const int32_t is_left = (code <= cut.bin) | (code == missing);
      *left = row;
      *right = row;
      left += is_left;
      right += 1 - is_left;
    }
    std::memcpy(left, spare_.data(), (right - spare_.data()) * sizeof(int32_t));
    return static_cast<int32_t>(left - order);
  }

  const Shared& shared_;
  const int32_t outputs_;
  CachedVector<TreeNode>& nodes_;
  const int64_t first_;                 // place of the subtree's rows among the tree's
  std::vector<int32_t> given_, order_;  // rows of the data set; places here, by node
  std::vector<int32_t> spare_;
  Scratch<uint8_t> copied_;
  std::vector<int64_t> words_;
  PlainRows codes_;
  std::unique_ptr<PlainSearch> search_;
  std::vector<Open> open_;
  std::vector<Pair> open_totals_, totals_;
};

}  // namespace

void tree_plain_subtree(const PlainSubtreeArgs& args, CachedVector<TreeNode>& nodes) {
  PlainGrower(args, nodes).grow();
}

}  // namespace pyllm::PYLLM_ISA
