// The best split of a node from its histogram, feature by feature.
#include "cpu/trees/split.h"

#include "cpu/trees/categories.h"
#include "cpu/trees/scan.h"

namespace pyllm::PYLLM_ISA {
namespace {

// The categories that occur in a node, from its histogram.
template <class Word>
void look_at_categories(const ScanArgs& args, int32_t feature, ScanWorkspace& work, Split& best) {
  const Feature& f = args.bins->features[feature];
  const Word* sums = static_cast<const Word*>(args.histogram.sums) + f.offset;
  const int64_t stride = args.bins->total;
  work.codes.clear();
  for (int32_t code = 0; code < f.codes(); ++code) {
    if (!all_zero(sums + code, stride, args.outputs)) work.codes.push_back(code);
  }
  const auto count = static_cast<int64_t>(work.codes.size());
  work.sums.resize(count * args.outputs);
  for (int64_t i = 0; i < count * args.outputs; ++i) {
    work.sums[i] = unpack(sums[work.codes[i % count] + i / count * stride]);
  }
  if (args.counts.sums) {
    for (int64_t i = 0; i < count; ++i) work.counts[i] = work.counts[work.codes[i]];
  }
  best_category_split({feature, f.bins, work.codes.data(), static_cast<int32_t>(count),
                       work.sums.data(), count, args.counts.sums ? work.counts.data() : nullptr},
                      args, best);
}

template <class Word>
void scan_histogram(const ScanArgs& args, Split& best) {
  Scan scan(args);
  ScanWorkspace& work = scan_workspace();
  const int64_t stride = args.bins->total;
  for (int32_t i = 0; i < args.slice.count; ++i) {
    ScanColumn<Word> column;
    column.feature = args.slice.features[i];
    const Feature& f = args.bins->features[column.feature];
    column.sums = static_cast<const Word*>(args.histogram.sums) + f.offset;
    column.output_stride = stride;
    column.bins = f.bins;
    if (f.missing && !all_zero(column.sums + f.bins, stride, args.outputs)) {
      column.missing = column.sums + f.bins;
    }
    if (args.counts.sums) {
      work.counts.resize(f.bins + 1);
      with_word(args.counts.packing, [&](auto word) {
        const auto* counts = static_cast<const decltype(word)*>(args.counts.sums) + f.offset;
        for (int32_t b = 0; b < f.codes(); ++b) work.counts[b] = unpack(counts[b])[1];
      });
      column.counts = work.counts.data();
    }
    if (f.categorical) {
      look_at_categories<Word>(args, column.feature, work, best);
      continue;
    }
    scan.look_at(column, best);
  }
}

}  // namespace

void tree_best_split(const ScanArgs& args, Split& best) {
  with_word(args.histogram.packing, [&](auto word) { scan_histogram<decltype(word)>(args, best); });
}

}  // namespace pyllm::PYLLM_ISA
