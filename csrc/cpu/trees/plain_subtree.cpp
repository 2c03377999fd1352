// Depth first: of two children the smaller one comes next, so that few nodes are open at a time.
// The rows' codes and gradients are copied side by side first; nodes then pass around row numbers
// within the subtree, in the order that partition.cpp would leave them in.
#include "cpu/trees/plain_subtree.h"

#include <cstring>

#include "cpu/trees/plain_search.h"

namespace pyllm::PYLLM_ISA {
namespace {

class PlainGrower {
 public:
  PlainGrower(const PlainSubtreeArgs& args, std::vector<PlainNode>& nodes)
      : shared_(*args.shared),
        outputs_(shared_.input.outputs),
        nodes_(nodes),
        rows_(args.rows),
        given_(rows_, rows_ + args.count),
        order_(args.count),
        spare_(args.count + 1),
        words_(static_cast<size_t>(args.count) * outputs_),
        codes_(copy(args)),
        search_(shared_, codes_) {
    for (int32_t i = 0; i < args.count; ++i) order_[i] = i;
    nodes_.push_back({0, args.count, args.depth});
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
    for (size_t i = 0; i < order_.size(); ++i) rows_[i] = given_[order_[i]];
  }

 private:
  struct Open {
    int32_t node;
    uint64_t key;
  };

  PlainRows copy(const PlainSubtreeArgs& args) {
    const CodeMatrix<uint8_t>& from = shared_.input.bins->narrow;
    const int64_t stride = from.stride;
    copied_ = Scratch<uint8_t>(args.count * stride);
    for (int64_t i = 0; i < args.count; ++i) {
      std::memcpy(copied_.data() + i * stride, from.by_row + rows_[i] * stride, stride);
    }
    const int64_t all = shared_.input.bins->rows;
    with_word(shared_.fixed.packing, [&](auto word) {
      const auto* words = static_cast<const decltype(word)*>(shared_.fixed.output(0, all));
      for (int64_t i = 0; i < args.count; ++i) {
        for (int64_t o = 0; o < outputs_; ++o) {
          const Pair pair = unpack(words[o * all + rows_[i]]);
          words_[i * outputs_ + o] = pack64(pair[0], pair[1]);
        }
      }
    });
    return {copied_.data(), stride, words_.data()};
  }

  void open(int32_t node, uint64_t key, const Pair* totals) {
    const PlainNode& n = nodes_[node];
    const GrowOptions& options = shared_.options;
    const int64_t least = 2 * std::max<int64_t>(options.min_child_samples, 1);
    if (n.count < std::max(least, options.min_split_samples)) return;
    if (options.max_depth > 0 && n.depth >= options.max_depth) return;
    open_.push_back({node, key});
    open_totals_.insert(open_totals_.end(), totals, totals + outputs_);
  }

  void grow(const Open& open) {
    const PlainNode node = nodes_[open.node];
    if (same_ratio(node)) return;
    const PlainCut cut =
        search_.find({order_.data() + node.begin, node.count, totals_.data(), open.key});
    if (cut.feature < 0) return;
    const int32_t lefts = partition(node, cut);
    const auto left = static_cast<int32_t>(nodes_.size());
    PlainNode& parent = nodes_[open.node];
    parent.feature = cut.feature;
    parent.bin = cut.bin;
    parent.left = left;
    parent.gain = cut.gain;
    // A missing value where training saw none goes with the majority.
    parent.default_left = cut.saw_missing ? cut.missing_left : 2 * lefts >= node.count;
    nodes_.push_back({node.begin, lefts, node.depth + 1});
    nodes_.push_back({node.begin + lefts, node.count - lefts, node.depth + 1});
    const uint64_t left_key = child_key(open.key, false), right_key = child_key(open.key, true);
    for (int32_t o = 0; o < outputs_; ++o) totals_[o] -= search_.left()[o];
    if (2 * lefts <= node.count) {
      this->open(left + 1, right_key, totals_.data());
      this->open(left, left_key, search_.left());
    } else {
      this->open(left, left_key, search_.left());
      this->open(left + 1, right_key, totals_.data());
    }
  }

  // Where gradients are the same multiple of hessians, leaves of one class above all, no split can
  // gain.
  bool same_ratio(const PlainNode& node) const {
    for (int32_t i = node.begin; i < node.begin + node.count; ++i) {
      const int64_t* words = words_.data() + int64_t{order_[i]} * outputs_;
      for (int32_t o = 0; o < outputs_; ++o) {
        const Pair pair = unpack(words[o]);
        if (pair[0] * totals_[o][1] != pair[1] * totals_[o][0]) return false;
      }
    }
    return true;
  }

  // Puts the rows that go left first; returns how many there are.
  int32_t partition(const PlainNode& node, const PlainCut& cut) {
    const Feature& f = shared_.input.bins->features[cut.feature];
    const uint8_t* codes = codes_.codes + f.column;
    const int32_t missing = cut.missing_left ? f.bins : -1;
    int32_t* left = order_.data() + node.begin;
    int32_t* right = spare_.data();
    for (int32_t i = node.begin; i < node.begin + node.count; ++i) {
      const int32_t row = order_[i];
      const int32_t code = codes[row * codes_.stride];
      const int32_t is_left = (code <= cut.bin) | (code == missing);
      *left = row;
      *right = row;
      left += is_left;
      right += 1 - is_left;
    }
    std::memcpy(left, spare_.data(), (right - spare_.data()) * sizeof(int32_t));
    return static_cast<int32_t>(left - order_.data()) - node.begin;
  }

  const Shared& shared_;
  const int32_t outputs_;
  std::vector<PlainNode>& nodes_;
  int32_t* rows_;                       // of the data set: out, in the order of the leaves
  std::vector<int32_t> given_, order_;  // these as they were; places there, by node
  std::vector<int32_t> spare_;
  Scratch<uint8_t> copied_;
  std::vector<int64_t> words_;
  PlainRows codes_;
  PlainSearch search_;
  std::vector<Open> open_;
  std::vector<Pair> open_totals_, totals_;
};

}  // namespace

void tree_plain_subtree(const PlainSubtreeArgs& args, std::vector<PlainNode>& nodes) {
  PlainGrower(args, nodes).grow();
}

}  // namespace pyllm::PYLLM_ISA
