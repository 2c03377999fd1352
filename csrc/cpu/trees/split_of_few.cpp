// The best split of a node of few rows, from the rows themselves: their codes of a feature are
// sorted and the bins that occur are summed and scanned. The result is that of the histogram: an
// empty bin never wins a tie against the bin before it.
#include <algorithm>

#include "cpu/trees/categories.h"
#include "cpu/trees/scan.h"
#include "cpu/trees/split.h"

namespace pyllm::PYLLM_ISA {
namespace {

// The bins of one feature that occur among some rows, in order: their codes and sums.
template <class Code>
int32_t sum_bins(const FewRowsArgs& args, const Feature& f, const Code* codes, int64_t stride,
                 ScanWorkspace& work) {
  const int32_t outputs = args.scan.outputs;
  uint32_t order[kFewRows];  // code, then position
  for (int64_t i = 0; i < args.count; ++i) {
    order[i] = uint32_t{codes[args.rows[i] * stride + f.column]} << 8 | static_cast<uint32_t>(i);
  }
  std::sort(order, order + args.count);
  int32_t bins = 0;
  work.codes.resize(kFewRows);
  work.counts.resize(kFewRows + 1);
  work.sums.resize(static_cast<size_t>(kFewRows) * outputs);
  with_word(args.packing, [&](auto word) {
    using Word = decltype(word);
    const auto* words = static_cast<const Word*>(args.words);
    for (int64_t i = 0; i < args.count; ++i) {
      const auto code = static_cast<int32_t>(order[i] >> 8);
      if (bins == 0 || work.codes[bins - 1] != code) {
        for (int32_t o = 0; o < outputs; ++o) work.sums[o * kFewRows + bins] = Pair{0, 0};
        work.counts[bins] = 0;
        work.codes[bins++] = code;
      }
      ++work.counts[bins - 1];
      const int64_t row = args.rows[order[i] & 255];
      for (int32_t o = 0; o < outputs; ++o) {
        work.sums[o * kFewRows + bins - 1] += unpack(words[row + o * args.scan.bins->rows]);
      }
    }
  });
  work.counts[bins] = 0;  // of missing values, if there are none
  return bins;
}

}  // namespace

void tree_best_split_of_few(const FewRowsArgs& args, Split& best) {
  Scan scan(args.scan);
  ScanWorkspace& work = scan_workspace();
  const Bins& bins = *args.scan.bins;
  for (int32_t i = 0; i < args.scan.slice.count; ++i) {
    const int32_t feature = args.scan.slice.features[i];
    const Feature& f = bins.features[feature];
    ScanColumn<Pair> column;
    column.feature = feature;
    column.bins = f.wide ? sum_bins(args, f, bins.wide.by_row, bins.wide.stride, work)
                         : sum_bins(args, f, bins.narrow.by_row, bins.narrow.stride, work);
    column.sums = work.sums.data();
    column.codes = work.codes.data();
    column.output_stride = kFewRows;
    if (args.scan.min_rows > 1) column.counts = work.counts.data();
    if (f.categorical) {
      best_category_split({feature, f.bins, work.codes.data(), column.bins, work.sums.data(),
                           kFewRows, column.counts},
                          args.scan, best);
      continue;
    }
    if (f.missing && column.codes[column.bins - 1] == f.bins) {
      --column.bins;
      const Pair* missing = column.sums + column.bins;
      if (!all_zero(missing, kFewRows, args.scan.outputs)) column.missing = missing;
    }
    scan.look_at(column, best);
  }
}

}  // namespace pyllm::PYLLM_ISA
