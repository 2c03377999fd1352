// The tree kernels and the grower on made-up codes: shapes that end inside groups of rows and
// blocks of sums, both widths of codes, missing values, categories, and nodes that threads share.
#include <algorithm>
#include <numeric>
#include <vector>

#include "check.h"
#include "core/parallel.h"
#include "cpu/trees/grow.h"
#include "cpu/trees/histogram.h"
#include "cpu/trees/partition.h"
#include "cpu/trees/sparse_rows.h"

using namespace pyllm;
using namespace pyllm::trees;

namespace {

// A small generator of whole numbers; the same on every machine.
class Draws {
 public:
  explicit Draws(uint32_t seed) : state_(seed * 2654435761u + 1) {}
  int32_t below(int32_t n) {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<int32_t>((uint64_t{state_} * static_cast<uint32_t>(n)) >> 32);
  }

 private:
  uint32_t state_;
};

// Codes in exactly sized blocks. Features: narrow ones of 2 to 255 bins, every third with missing
// values, and, if asked for, a categorical and a wide one at the end.
struct Codes {
  std::vector<uint8_t> narrow_by_row, narrow_by_column;
  std::vector<uint16_t> wide_by_row, wide_by_column;
  Bins bins;

  // one_in: with it, a row has another code than a feature's first only so often.
  Codes(int64_t rows, int32_t features, bool all_kinds, uint32_t seed = 1, int32_t one_in = 1) {
    bins.rows = rows;
    Draws draws(seed);
    for (int32_t f = 0; f < features; ++f) add(f % 2 == 0 ? 255 : 2 + draws.below(9), f % 3 == 0);
    if (all_kinds) {
      add(13, true);
      bins.features.back().categorical = true;
      add(700, true);
    }
    int32_t columns[2] = {0, 0};
    for (Feature& f : bins.features) f.column = columns[f.wide]++;
    fill(draws, columns[0], narrow_by_row, narrow_by_column, bins.narrow, false, one_in);
    fill(draws, columns[1], wide_by_row, wide_by_column, bins.wide, true, one_in);
  }

  int32_t code(int64_t row, const Feature& f) const {
    return f.wide ? bins.wide.by_row[row * bins.wide.stride + f.column]
                  : bins.narrow.by_row[row * bins.narrow.stride + f.column];
  }

 private:
  void add(int32_t count, bool missing) {
    Feature f;
    f.bins = count;
    f.missing = missing && count < 255;
    f.wide = count > 255;
    f.offset = static_cast<int32_t>(bins.total);
    f.stored = f.codes();
    bins.total += f.stored;
    bins.features.push_back(f);
  }

  template <class Code>
  void fill(Draws& draws, int32_t columns, std::vector<Code>& by_row, std::vector<Code>& by_column,
            CodeMatrix<Code>& matrix, bool wide, int32_t one_in) {
    by_row.resize(static_cast<size_t>(bins.rows) * columns);
    by_column.resize(by_row.size());
    matrix = {by_row.data(), by_column.data(), columns};
    for (const Feature& f : bins.features) {
      if (f.wide != wide) continue;
      for (int64_t row = 0; row < bins.rows; ++row) {
        const bool other = draws.below(one_in) == 0;
        const auto code = static_cast<Code>(other ? draws.below(f.codes()) : 0);
        by_row[row * columns + f.column] = by_column[f.column * bins.rows + row] = code;
      }
    }
  }
};

std::vector<int32_t> rows_of(int64_t n, int32_t every, uint32_t seed) {
  Draws draws(seed);
  std::vector<int32_t> rows;
  for (int32_t row = 0; row < n; ++row) {
    if (every == 1 || draws.below(every) == 0) rows.push_back(row);
  }
  rows.shrink_to_fit();
  return rows;
}

template <class Word, class Result>
void check_histogram(const Codes& codes, int32_t every, int64_t block, Packing packing,
                     Packing result) {
  const Bins& bins = codes.bins;
  const std::vector<int32_t> rows = rows_of(bins.rows, every, 3);
  std::vector<Word> words(static_cast<size_t>(bins.rows));
  Draws draws(4);
  for (Word& w : words) w = packed<Word>(Pair{draws.below(15) - 7, draws.below(8)});
  std::vector<int32_t> features(bins.features.size());
  std::iota(features.begin(), features.end(), 0);
  std::stable_partition(features.begin(), features.end(),
                        [&](int32_t f) { return !bins.features[f].wide; });
  std::vector<Result> sums(static_cast<size_t>(bins.total));
  HistogramArgs args;
  args.bins = &bins;
  args.slice = {features.data(), static_cast<int32_t>(features.size())};
  args.rows = rows.data();
  args.consecutive = every == 1;
  args.count = static_cast<int64_t>(rows.size());
  args.packing = packing;
  args.words = words.data();
  args.block = block;
  args.result = result;
  args.sums = sums.data();
  tree_histogram(args);

  std::vector<Pair> expected(static_cast<size_t>(bins.total), Pair{0, 0});
  for (const int32_t row : rows) {
    for (const Feature& f : bins.features) {
      expected[f.offset + codes.code(row, f)] += unpack(words[row]);
    }
  }
  bool same = true;
  for (int64_t b = 0; b < bins.total; ++b) {
    const Pair sum = unpack(sums[b]);
    same = same && sum[0] == expected[b][0] && sum[1] == expected[b][1];
  }
  CHECK(same);
}

struct Outcome {
  GrownTree tree;
  std::vector<int32_t> leaf_of_row;
};

Outcome grow(const Codes& codes, const GrowOptions& options, int32_t outputs, bool quantized,
             const std::vector<int32_t>& rows) {
  const int64_t n = codes.bins.rows;
  std::vector<float> gradient(static_cast<size_t>(n) * outputs), hessian(gradient.size());
  Draws draws(7);
  for (size_t i = 0; i < gradient.size(); ++i) {
    const auto code =
        static_cast<float>(codes.code(static_cast<int64_t>(i) / outputs, codes.bins.features[0]));
    gradient[i] = static_cast<float>(draws.below(65) - 32) + code / 8;
    hessian[i] = static_cast<float>(1 + draws.below(16)) / 16;
  }
  GrowInput input;
  input.bins = &codes.bins;
  input.gradient = gradient.data();
  input.hessian = hessian.data();
  input.row_stride = outputs;
  input.outputs = outputs;
  input.rows = static_cast<int64_t>(rows.size()) == n ? nullptr : rows.data();
  input.count = static_cast<int64_t>(rows.size());
  input.seed = 11;
  input.quantized = quantized;
  Outcome out;
  out.leaf_of_row.resize(static_cast<size_t>(n));
  out.tree = grow_tree(input, options, out.leaf_of_row.data(), [] {});
  return out;
}

// Every row stands in a leaf, and the rows of a node are those of its children.
bool consistent(const Outcome& grown, const std::vector<int32_t>& rows) {
  const GrownTree& tree = grown.tree;
  std::vector<int64_t> count(tree.feature.size());
  for (const int32_t leaf : grown.leaf_of_row) {
    if (leaf < 0 || leaf >= static_cast<int32_t>(count.size()) || tree.feature[leaf] >= 0) {
      return false;
    }
  }
  for (const int32_t row : rows) ++count[grown.leaf_of_row[row]];
  for (int64_t node = static_cast<int64_t>(count.size()) - 1; node >= 0; --node) {
    if (tree.feature[node] >= 0) count[node] = count[tree.left[node]] + count[tree.right[node]];
  }
  return count == tree.count;
}

bool same(const Outcome& a, const Outcome& b) {
  return a.leaf_of_row == b.leaf_of_row && a.tree.feature == b.tree.feature &&
         a.tree.bin == b.tree.bin && a.tree.value == b.tree.value && a.tree.gain == b.tree.gain &&
         a.tree.categories == b.tree.categories;
}

void check_grown(const GrowOptions& options, const Codes& codes, int32_t outputs, bool quantized,
                 int32_t every) {
  std::vector<int32_t> rows = rows_of(codes.bins.rows, every, 9);
  if (rows.empty()) rows.push_back(0);
  const int threads = num_threads();
  const Outcome many = grow(codes, options, outputs, quantized, rows);
  set_num_threads(1);
  const Outcome one = grow(codes, options, outputs, quantized, rows);
  set_num_threads(threads);
  CHECK(consistent(many, rows));
  CHECK(same(many, one));
}

void check_grown(const GrowOptions& options, int64_t n, int32_t outputs, bool quantized,
                 bool all_kinds, int32_t every) {
  check_grown(options, Codes(n, 5, all_kinds), outputs, quantized, every);
}

}  // namespace

TEST(tree_histograms_at_odd_sizes) {
  for (const int64_t n : {1, 3, 4, 131, 2001}) {
    const Codes codes(n, 7, true);
    for (const int32_t every : {1, 3}) {
      check_histogram<int32_t, int32_t>(codes, every, n, Packing::bits16, Packing::bits16);
      check_histogram<int32_t, int64_t>(codes, every, 97, Packing::bits16, Packing::bits32);
      check_histogram<int32_t, Pair>(codes, every, 97, Packing::bits16, Packing::bits64);
      check_histogram<int64_t, Pair>(codes, every, 500, Packing::bits32, Packing::bits64);
      check_histogram<Pair, Pair>(codes, every, n, Packing::bits64, Packing::bits64);
    }
  }
}

TEST(tree_histograms_add_and_subtract_across_packings) {
  const Codes codes(10, 4, true);
  const Bins& bins = codes.bins;
  std::vector<int32_t> features(bins.features.size());
  std::iota(features.begin(), features.end(), 0);
  const FeatureSlice slice{features.data(), static_cast<int32_t>(features.size())};
  const auto n = static_cast<size_t>(bins.total);
  std::vector<int64_t> parent(n);
  std::vector<int32_t> child(n), sibling(n);
  Draws draws(5);
  for (size_t b = 0; b < n; ++b) {
    child[b] = pack32(draws.below(9000) - 4500, draws.below(9000) - 100);
    const Pair both = unpack(child[b]) + Pair{draws.below(9000) - 4500, draws.below(9000) - 100};
    parent[b] = packed<int64_t>(both);
  }
  const Histogram whole{parent.data(), Packing::bits32}, part{child.data(), Packing::bits16},
      rest{sibling.data(), Packing::bits16};
  tree_subtract(bins, slice, whole, part, rest);
  tree_add(bins, slice, part, rest);
  bool restored = true;
  for (size_t b = 0; b < n; ++b) {
    const Pair before = unpack(parent[b]), after = unpack(sibling[b]);
    restored = restored && before[0] == after[0] && before[1] == after[1];
  }
  CHECK(restored);
}

TEST(a_parent_may_hold_more_than_its_childrens_packing) {
  const Codes codes(1, 1, false);
  const auto n = static_cast<size_t>(codes.bins.total);
  const int32_t feature = 0;
  const FeatureSlice slice{&feature, 1};
  for (const int64_t g : {-32767, 32767}) {
    std::vector<int64_t> parent(n, pack64(2 * g, 65534));
    std::vector<int32_t> child(n, pack32(g, 32767)), sibling(n);
    tree_subtract(codes.bins, slice, Histogram{parent.data(), Packing::bits32},
                  Histogram{child.data(), Packing::bits16},
                  Histogram{sibling.data(), Packing::bits16});
    CHECK(sibling == child);
  }
}

TEST(tree_partitions_keep_the_order) {
  for (const int64_t n : {1, 2, 63, 200, 5000}) {
    const Codes codes(n, 1, true, 2);
    for (const int32_t every : {1, 50}) {
      const std::vector<int32_t> rows = rows_of(n, every, 6);
      for (const bool wide : {false, true}) {
        const Feature& f = codes.bins.features[wide ? 2 : 0];
        std::vector<uint8_t> goes_left(static_cast<size_t>(f.codes()));
        for (int32_t c = 0; c < f.codes(); ++c) goes_left[c] = c * 3 < f.bins;
        std::vector<int32_t> left(rows.size() + 16), right(rows.size() + 16);
        int64_t lefts = -1;
        PartitionArgs args;
        if (wide) args.wide = codes.bins.wide.by_column;
        if (!wide) args.narrow = codes.bins.narrow.by_column;
        args.goes_left = goes_left.data();
        args.rows = rows.data();
        args.count = static_cast<int64_t>(rows.size());
        args.left = left.data();
        args.right = right.data();
        args.lefts = &lefts;
        tree_partition(args);
        std::vector<int32_t> expected(rows);
        const auto middle =
            std::stable_partition(expected.begin(), expected.end(),
                                  [&](int32_t row) { return goes_left[codes.code(row, f)] != 0; });
        const auto size = static_cast<int64_t>(middle - expected.begin());
        CHECK(lefts == size);
        CHECK(std::equal(expected.begin(), middle, left.begin()));
        CHECK(std::equal(middle, expected.end(), right.begin()));
      }
    }
  }
}

TEST(trees_of_every_growth_are_the_same_on_any_threads) {
  for (const int64_t n : {1, 2, 130, 9001}) {
    for (const bool leafwise : {true, false}) {
      for (const bool quantized : {false, true}) {
        GrowOptions options;
        options.leafwise = leafwise;
        options.objective.l2 = 1;
        options.max_leaves = 31;
        check_grown(options, n, 1, quantized, true, 1);
        options.max_leaves = 0;
        options.max_depth = 7;
        check_grown(options, n, 1, quantized, true, 3);
      }
    }
  }
}

// Slices of very unequal work, more of them than threads.
TEST(trees_of_many_categories_are_the_same_on_any_threads) {
  for (const int64_t n : {130, 9001}) {
    Codes codes(n, 5, true);
    for (const size_t f : {1, 2, 4, 6}) codes.bins.features[f].categorical = true;
    GrowOptions options;
    options.objective.l2 = 1;
    options.max_leaves = 31;
    options.min_category_samples = 2;
    options.min_group_samples = 10;
    for (const int32_t threshold : {1, 16, 1000}) {
      options.max_cat_threshold = threshold;
      check_grown(options, codes, 1, false, 1);
      check_grown(options, codes, 2, true, 3);
    }
  }
}

TEST(trees_grown_to_the_end) {
  GrowOptions options;
  options.objective.l2 = 1;
  options.min_child_samples = 3;
  check_grown(options, 12000, 1, false, false, 1);  // subtrees within a core's cache
  check_grown(options, 12000, 2, false, true, 1);
  options.extra_random = true;
  check_grown(options, 12000, 1, false, false, 2);
  options.share_by_node = 0.4;
  check_grown(options, 6000, 3, true, false, 1);
}

TEST(trees_under_constraints) {
  GrowOptions options;
  options.objective = {0.5, 1, 0.7};
  options.max_leaves = 24;
  options.min_child_samples = 20;
  options.monotone.assign(7, 0);
  options.monotone[0] = 1;
  options.monotone[1] = -1;
  options.interaction = {{0, 1, 2}, {2, 3, 4, 5, 6}};
  options.share_by_level = 0.8;
  check_grown(options, 7000, 1, false, true, 1);
  check_grown(options, 7000, 1, true, true, 2);
}

TEST(trees_from_lists_are_those_from_codes) {
  for (const int64_t n : {1, 300, 9001}) {
    const Codes codes(n, 20, true, 3, 10);
    Codes listed(n, 20, true, 3, 10);
    list_sparse_rows(listed.bins);
    CHECK(listed.bins.sparse != nullptr);
    GrowOptions options;
    options.objective.l2 = 1;
    options.max_leaves = 31;
    for (const int32_t every : {1, 3}) {
      for (const bool quantized : {false, true}) {
        check_grown(options, listed, 2, quantized, every);
        std::vector<int32_t> rows = rows_of(n, every, 9);
        if (rows.empty()) rows.push_back(0);
        CHECK(same(grow(codes, options, 1, quantized, rows),
                   grow(listed, options, 1, quantized, rows)));
      }
    }
  }
}
