// The best split of a node from its histogram, feature by feature.
#include "cpu/trees/split.h"

#include "cpu/trees/categories.h"
#include "cpu/trees/scan.h"

namespace pyllm::PYLLM_ISA {
namespace {

// The sums of a bundled feature by output and code; that of its usual bin is what the others leave
// of the node's. False if there are no others: the feature is the same in all rows.
template <class Word>
bool unbundle(const ScanArgs& args, const Feature& f, std::vector<Pair>& sums) {
  const int32_t others = f.codes() - 1;
  bool differs = false;
  sums.resize(static_cast<size_t>(args.outputs) * f.codes());
  for (int32_t o = 0; o < args.outputs; ++o) {
    const Word* from =
        static_cast<const Word*>(args.histogram.sums) + o * args.bins->total + f.offset + f.first;
    Pair* to = sums.data() + o * f.codes();
    Pair usual = args.totals[o];
    for (int32_t i = 0; i < others; ++i) {
      const Pair sum = unpack(from[i]);
      to[i + (i >= f.usual ? 1 : 0)] = sum;
      usual -= sum;
      differs |= sum[0] != 0 || sum[1] != 0;
    }
    to[f.usual] = usual;
  }
  return differs;
}

// How many rows of the node have each code.
void read_counts(const ScanArgs& args, const Feature& f, std::vector<int64_t>& counts) {
  counts.assign(f.bins + 1, 0);
  with_word(args.counts.packing, [&](auto word) {
    const auto* from = static_cast<const decltype(word)*>(args.counts.sums) + f.offset;
    if (!f.bundled()) {
      for (int32_t c = 0; c < f.codes(); ++c) counts[c] = unpack(from[c])[1];
      return;
    }
    int64_t usual = args.count;
    for (int32_t i = f.first; i < f.first + f.codes() - 1; ++i) {
      counts[f.code(i)] = unpack(from[i])[1];
      usual -= counts[f.code(i)];
    }
    counts[f.usual] = usual;
  });
}

// The categories that occur in a node.
template <class Word>
void look_at_categories(const ScanArgs& args, const ScanColumn<Word>& column, ScanWorkspace& work,
                        Split& best) {
  const Feature& f = args.bins->features[column.feature];
  const int64_t stride = column.output_stride;
  work.codes.resize(f.codes());
  int64_t count = 0;
  for (int32_t code = 0; code < f.codes(); ++code) {
    work.codes[count] = code;
    count += all_zero(column.sums + code, stride, args.outputs) ? 0 : 1;
  }
  work.sums.resize(count * args.outputs);
  for (int32_t o = 0; o < args.outputs; ++o) {
    for (int64_t i = 0; i < count; ++i) {
      work.sums[o * count + i] = unpack(column.sums[o * stride + work.codes[i]]);
    }
  }
  if (column.counts) {
    for (int64_t i = 0; i < count; ++i) work.counts[i] = work.counts[work.codes[i]];
  }
  best_category_split({column.feature, f.bins, work.codes.data(), static_cast<int32_t>(count),
                       work.sums.data(), count, column.counts},
                      args, best);
}

// Looks at a feature whose sums stand at column.sums.
template <class Word>
void scan_feature(const ScanArgs& args, Scan& scan, ScanColumn<Word>& column, Split& best) {
  ScanWorkspace& work = scan_workspace();
  const Feature& f = args.bins->features[column.feature];
  column.bins = f.bins;
  if (f.missing && !all_zero(column.sums + f.bins, column.output_stride, args.outputs)) {
    column.missing = column.sums + f.bins;
  }
  if (args.counts.sums) {
    read_counts(args, f, work.counts);
    column.counts = work.counts.data();
  }
  if (f.categorical) {
    look_at_categories(args, column, work, best);
  } else {
    scan.look_at(column, best);
  }
}

template <class Word>
void scan_column(const ScanArgs& args, Scan& scan, int32_t feature, Split& best) {
  const Feature& f = args.bins->features[feature];
  ScanColumn<Word> column;
  column.feature = feature;
  column.sums = static_cast<const Word*>(args.histogram.sums) + f.offset;
  column.output_stride = args.bins->total;
  scan_feature(args, scan, column, best);
}

// Whether the cuts of a bundled feature may be judged together with those of others.
bool batches(const ScanArgs& args, int32_t feature) {
  const Feature& f = args.bins->features[feature];
  return !f.missing && !f.categorical && !args.counts.sums && !args.rules->random_cuts &&
         (!args.rules->monotone || args.rules->monotone[feature] == 0);
}

// A feature has a cut for each bin it stores: those below the usual one are summed from the left,
// those above it from the right.
template <class Word>
void add_cuts(const ScanArgs& args, int32_t feature, CutBatch& batch, Word* left) {
  const Feature& f = args.bins->features[feature];
  const int32_t cuts = f.codes() - 1;
  const Word* sums = static_cast<const Word*>(args.histogram.sums) + f.offset + f.first;
  left += batch.count;
  for (int32_t o = 0; o < args.outputs; ++o) {
    Word sum{};
    for (int32_t i = 0; i < f.usual; ++i) left[i] = sum += sums[i];
    sum = packed<Word>(args.totals[o]);
    for (int32_t i = cuts - 1; i >= f.usual; --i) left[i] = sum -= sums[i];
    sums += args.bins->total;
    left += batch.capacity;
  }
  batch.feature.push_back(feature);
  batch.first.push_back(static_cast<int32_t>(batch.count));
  batch.count += cuts;
}

// The features of a bundle: [begin, end).
template <class Word>
void scan_bundle(const ScanArgs& args, Scan& scan, const int32_t* begin, const int32_t* end,
                 Split& best) {
  ScanWorkspace& work = scan_workspace();
  work.batch.start(args.bins->features[*begin].stored);
  Word* const left = work.batch.left<Word>(args.outputs);
  for (; begin < end; ++begin) {
    if (batches(args, *begin)) {
      add_cuts(args, *begin, work.batch, left);
      continue;
    }
    const Feature& f = args.bins->features[*begin];
    if (!unbundle<Word>(args, f, work.unbundled)) continue;
    ScanColumn<Pair> column;
    column.feature = *begin;
    column.sums = work.unbundled.data();
    column.output_stride = f.codes();
    scan_feature(args, scan, column, best);
  }
  scan.look_at<Word>(work.batch, best);
}

template <class Word>
void scan_histogram(const ScanArgs& args, Split& best) {
  Scan scan(args);
  const auto& features = args.bins->features;
  const int32_t* const last = args.slice.features + args.slice.count;
  for (const int32_t* at = args.slice.features; at < last;) {
    const Feature& f = features[*at];
    const int32_t* end = at + 1;
    if (!f.bundled()) {
      scan_column<Word>(args, scan, *at, best);
    } else {
      while (end < last && features[*end].shares_column(f)) ++end;
      scan_bundle<Word>(args, scan, at, end, best);
    }
    at = end;
  }
}

}  // namespace

void tree_best_split(const ScanArgs& args, Split& best) {
  with_word(args.histogram.packing, [&](auto word) { scan_histogram<decltype(word)>(args, best); });
}

}  // namespace pyllm::PYLLM_ISA
