// The best split of a node of few rows, from the rows themselves: their codes of a feature are
// sorted and the bins that occur are summed and scanned. The result is that of the histogram: an
// empty bin never wins a tie against the bin before it.
#include <algorithm>
#include <numeric>
#include <utility>

#include "cpu/trees/categories.h"
#include "cpu/trees/scan.h"
#include "cpu/trees/split.h"

namespace pyllm::PYLLM_ISA {
namespace {

// The rows of a node by their code of a column: code, then position. In a bundle, without code 0.
struct SortedRows {
  uint32_t order[kFewRows];
  int32_t count = 0;

  template <class Code>
  void sort(const FewRowsArgs& args, const Feature& f, const CodeMatrix<Code>& codes) {
    count = 0;
    for (int64_t i = 0; i < args.count; ++i) {
      const uint32_t code = codes.by_row[args.rows[i] * codes.stride + f.column];
      order[count] = code << 8 | static_cast<uint32_t>(i);
      count += !f.bundled() || code != 0;
    }
    std::sort(order, order + count);
  }

  // The part with the codes of a bundled feature.
  std::pair<const uint32_t*, const uint32_t*> of(const Feature& f) const {
    const auto at = [&](int32_t code) {
      return std::lower_bound(order, order + count, static_cast<uint32_t>(code) << 8);
    };
    return {at(f.first), at(f.first + f.codes() - 1)};
  }
};

// The bins of one feature that occur among some rows, in order: their codes and sums.
int32_t sum_bins(const FewRowsArgs& args, const Feature& f, const uint32_t* begin,
                 const uint32_t* end, ScanWorkspace& work) {
  const int32_t outputs = args.scan.outputs;
  int32_t bins = 0;
  work.codes.resize(kFewRows);
  work.counts.resize(kFewRows + 1);
  work.sums.resize(static_cast<size_t>(kFewRows) * outputs);
  with_word(args.packing, [&](auto word) {
    using Word = decltype(word);
    const auto* words = static_cast<const Word*>(args.words);
    for (const uint32_t* at = begin; at < end; ++at) {
      const int32_t code = f.code(static_cast<int32_t>(*at >> 8));
      if (bins == 0 || work.codes[bins - 1] != code) {
        for (int32_t o = 0; o < outputs; ++o) work.sums[o * kFewRows + bins] = Pair{0, 0};
        work.counts[bins] = 0;
        work.codes[bins++] = code;
      }
      ++work.counts[bins - 1];
      const int64_t row = args.rows[*at & 255];
      for (int32_t o = 0; o < outputs; ++o) {
        work.sums[o * kFewRows + bins - 1] += unpack(words[row + o * args.scan.bins->rows]);
      }
    }
  });
  return bins;
}

// Puts the usual bin of a bundled feature in its place, if some rows are in it.
int32_t add_usual(const FewRowsArgs& args, const Feature& f, int32_t bins, ScanWorkspace& work) {
  const int64_t rows =
      args.count - std::accumulate(work.counts.begin(), work.counts.begin() + bins, int64_t{0});
  if (rows == 0) return bins;
  const auto end = work.codes.begin() + bins;
  const auto place = std::find_if(work.codes.begin(), end, [&](int32_t c) { return c > f.usual; });
  const auto insert = [&](auto begin, auto value) {
    const auto at = begin + (place - work.codes.begin());
    std::move_backward(at, begin + bins, begin + bins + 1);
    *at = value;
  };
  for (int32_t o = 0; o < args.scan.outputs; ++o) {
    const auto sums = work.sums.begin() + o * kFewRows;
    insert(sums, args.scan.totals[o] - std::accumulate(sums, sums + bins, Pair{0, 0}));
  }
  insert(work.counts.begin(), rows);
  insert(work.codes.begin(), f.usual);
  return bins + 1;
}

// Looks at a feature whose bins stand in the workspace.
void scan_feature(const FewRowsArgs& args, Scan& scan, int32_t feature, int32_t bins,
                  ScanWorkspace& work, Split& best) {
  const Feature& f = args.scan.bins->features[feature];
  work.counts[bins] = 0;  // of missing values, if there are none
  ScanColumn<Pair> column;
  column.feature = feature;
  column.bins = bins;
  column.sums = work.sums.data();
  column.codes = work.codes.data();
  column.output_stride = kFewRows;
  if (args.scan.min_rows > 1) column.counts = work.counts.data();
  if (f.categorical) {
    best_category_split({feature, f.bins, work.codes.data(), column.bins, work.sums.data(),
                         kFewRows, column.counts},
                        args.scan, best);
    return;
  }
  if (f.missing && column.codes[column.bins - 1] == f.bins) {
    --column.bins;
    const Pair* missing = column.sums + column.bins;
    if (!all_zero(missing, kFewRows, args.scan.outputs)) column.missing = missing;
  }
  scan.look_at(column, best);
}

}  // namespace

void tree_best_split_of_few(const FewRowsArgs& args, Split& best) {
  Scan scan(args.scan);
  ScanWorkspace& work = scan_workspace();
  const Bins& bins = *args.scan.bins;
  SortedRows rows;
  const Feature* sorted = nullptr;
  for (int32_t i = 0; i < args.scan.slice.count; ++i) {
    const int32_t feature = args.scan.slice.features[i];
    const Feature& f = bins.features[feature];
    if (!sorted || !f.shares_column(*sorted)) {
      f.wide ? rows.sort(args, f, bins.wide) : rows.sort(args, f, bins.narrow);
      sorted = &f;
    }
    if (!f.bundled()) {
      const int32_t count = sum_bins(args, f, rows.order, rows.order + rows.count, work);
      scan_feature(args, scan, feature, count, work, best);
      continue;
    }
    const auto [begin, end] = rows.of(f);
    if (begin == end) continue;  // the same in all rows
    const int32_t count = add_usual(args, f, sum_bins(args, f, begin, end, work), work);
    scan_feature(args, scan, feature, count, work, best);
  }
}

}  // namespace pyllm::PYLLM_ISA
