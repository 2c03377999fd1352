// Histograms: for each column, the sums of the gradients and hessians of a node's rows by code.
//
// This is where training spends its time: rows * columns times "load a code, add to memory". Rows
// are gathered by index, their codes and gradients prefetched some rows ahead, and added a few at a
// time: the bins of one column lie close together. Nodes of more rows than packed sums can hold
// are summed in blocks of `block` rows, each flushed into wider sums.
#include "cpu/trees/histogram.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "cpu/trees/sparse_rows.h"

namespace pyllm::PYLLM_ISA {
namespace {

using namespace trees;

constexpr int64_t kAhead = 48;  // rows between a prefetch and its use
constexpr int64_t kLine = 64;   // bytes
constexpr int kTogether = 4;    // rows that are added to a feature's bins in turn

// Where the features of a slice that share a matrix add their sums.
template <class Word>
struct Targets {
  bool adjacent = true;  // columns follow each other
  std::vector<int32_t> column;
  std::vector<Word*> sums;

  void clear() {
    adjacent = true;
    column.clear();
    sums.clear();
  }
  void add(int32_t c, Word* s) {
    adjacent = adjacent && (column.empty() || c == column.back() + 1);
    column.push_back(c);
    sums.push_back(s);
  }
  int32_t count() const { return static_cast<int32_t>(column.size()); }
};

// What a thread needs for a histogram; kept from node to node, as threads that start on a node
// together would wait for each other at an allocator.
template <class Word>
struct Workspace {
  Targets<Word> narrow, wide;
  std::vector<Word> block_sums;

  static Workspace& cleared() {
    static thread_local Workspace instance;
    instance.narrow.clear();
    instance.wide.clear();
    return instance;
  }
};

template <class Code, class Word, bool kGather, bool kAdjacent>
void accumulate(const CodeMatrix<Code>& codes, const Targets<Word>& targets,
                const int32_t* __restrict rows, int64_t begin, int64_t end, int64_t last,
                const Word* __restrict words) {
  const int32_t count = targets.count();
  const int32_t* __restrict column = targets.column.data();
  Word* const* __restrict sums = targets.sums.data();
  const Code* base = codes.by_row + (kAdjacent ? column[0] : 0);
  const int64_t stride = codes.stride;
  const int64_t row_bytes = (kAdjacent ? count : stride) * static_cast<int64_t>(sizeof(Code));
  const auto row_at = [&](int64_t i) -> int64_t { return kGather ? rows[i] : rows[0] + i; };
  const auto column_at = [&](int32_t j) { return kAdjacent ? j : column[j]; };

  int64_t i = begin;
  for (; i + kTogether <= end; i += kTogether) {
    const Code* code[kTogether];
    Word word[kTogether];
#pragma GCC unroll 8
    for (int r = 0; r < kTogether; ++r) {
      if constexpr (kGather) {
        const int64_t ahead = rows[std::min(i + r + kAhead, last)];
        const auto* line = reinterpret_cast<const char*>(base + ahead * stride);
        for (int64_t b = 0; b < row_bytes; b += kLine) __builtin_prefetch(line + b);
        if (row_bytes > kLine) __builtin_prefetch(line + row_bytes - 1);
        __builtin_prefetch(words + ahead);
      }
      code[r] = base + row_at(i + r) * stride;
      word[r] = words[row_at(i + r)];
    }
    for (int32_t j = 0; j < count; ++j) {
      Word* to = sums[j];
#pragma GCC unroll 8
      for (int r = 0; r < kTogether; ++r) to[code[r][column_at(j)]] += word[r];
    }
  }
  for (; i < end; ++i) {
    const Code* code = base + row_at(i) * stride;
    for (int32_t j = 0; j < count; ++j) sums[j][code[column_at(j)]] += words[row_at(i)];
  }
}

template <class Code, class Word>
void accumulate(const CodeMatrix<Code>& codes, const Targets<Word>& targets,
                const HistogramArgs& args, int64_t begin, int64_t end) {
  if (targets.count() == 0 || begin == end) return;
  const auto* words = static_cast<const Word*>(args.words);
  const int64_t last = args.count - 1;
  if (!args.consecutive) {
    targets.adjacent
        ? accumulate<Code, Word, true, true>(codes, targets, args.rows, begin, end, last, words)
        : accumulate<Code, Word, true, false>(codes, targets, args.rows, begin, end, last, words);
  } else {
    targets.adjacent
        ? accumulate<Code, Word, false, true>(codes, targets, args.rows, begin, end, last, words)
        : accumulate<Code, Word, false, false>(codes, targets, args.rows, begin, end, last, words);
  }
}

template <class Word, bool kGather>
void accumulate_lists(const SparseRows& lists, Word* __restrict sums,
                      const int32_t* __restrict rows, int64_t begin, int64_t end, int64_t last,
                      const Word* __restrict words) {
  const uint32_t* __restrict offset = lists.offset.data();
  const uint32_t* __restrict place = lists.place.data();
  for (int64_t i = begin; i < end; ++i) {
    const int64_t row = kGather ? rows[i] : rows[0] + i;
    if constexpr (kGather) {
      __builtin_prefetch(offset + rows[std::min(i + kAhead, last)]);
      const int64_t ahead = rows[std::min(i + kAhead / 2, last)];
      __builtin_prefetch(place + offset[ahead]);
      __builtin_prefetch(words + ahead);
    }
    const Word word = words[row];
    for (uint32_t p = offset[row]; p < offset[row + 1]; ++p) sums[place[p]] += word;
  }
}

// Result: Word, or a wider one that blocks of Word are flushed into.
template <class Word, class Result>
void build(const HistogramArgs& args) {
  constexpr bool kInBlocks = !std::is_same_v<Word, Result>;
  const Bins& bins = *args.bins;
  auto* const result = static_cast<Result*>(args.sums);
  auto& [narrow, wide, block_sums] = Workspace<Word>::cleared();
  if (kInBlocks && block_sums.size() < static_cast<size_t>(bins.total)) {
    block_sums.resize(bins.total);
  }
  Word* const sums = kInBlocks ? block_sums.data() : static_cast<Word*>(args.sums);
  const bool lists = sums_lists(bins, args.slice);

  for_each_column(bins, args.slice, [&](const Feature& f) {
    std::memset(result + f.offset, 0, f.stored * sizeof(Result));
    if (!lists || f.common < 0) (f.wide ? wide : narrow).add(f.column, sums + f.offset);
  });

  const int64_t step = kInBlocks ? args.block : std::max<int64_t>(args.count, 1);
  for (int64_t begin = 0; begin < args.count; begin += step) {
    const int64_t end = std::min(begin + step, args.count);
    if constexpr (kInBlocks) {
      for_each_column(bins, args.slice, [&](const Feature& f) {
        std::memset(sums + f.offset, 0, f.stored * sizeof(Word));
      });
    }
    accumulate(bins.narrow, narrow, args, begin, end);
    accumulate(bins.wide, wide, args, begin, end);
    if (lists) {
      const auto* words = static_cast<const Word*>(args.words);
      (args.consecutive ? accumulate_lists<Word, false>
                        : accumulate_lists<Word, true>)(*bins.sparse, sums, args.rows, begin, end,
                                                        args.count - 1, words);
    }
    if constexpr (kInBlocks) {
      for_each_column(bins, args.slice, [&](const Feature& f) {
        for (int32_t b = f.offset; b < f.offset + f.stored; ++b) {
          result[b] += repacked<Result>(sums[b]);
        }
      });
    }
  }
}

// Of sums in one form. A sum that is too large for it is held modulo 2^32 or 2^64: the difference
// is right wherever it fits.
template <class Word>
Word difference(Word a, Word b) {
  if constexpr (std::is_integral_v<Word>) {
    using Bits = std::make_unsigned_t<Word>;
    return static_cast<Word>(static_cast<Bits>(a) - static_cast<Bits>(b));
  } else {
    return a - b;
  }
}

template <class P, class C, class S>
void subtract(const Bins& bins, const FeatureSlice& slice, const P* parent, const C* child,
              S* sibling) {
  for_each_column(bins, slice, [&](const Feature& f) {
    for (int32_t b = f.offset; b < f.offset + f.stored; ++b) {
      sibling[b] = difference(repacked<S>(parent[b]), repacked<S>(child[b]));
    }
  });
}

}  // namespace

void tree_histogram(const HistogramArgs& args) {
  with_word(args.packing, [&](auto word) {
    using Word = decltype(word);
    if (args.result == args.packing) return build<Word, Word>(args);
    with_word(args.result, [&](auto result) { build<Word, decltype(result)>(args); });
  });
}

void tree_fill_common(const Bins& bins, const FeatureSlice& slice, const Pair& total,
                      const Histogram& histogram) {
  with_word(histogram.packing, [&](auto word) {
    using Word = decltype(word);
    for_each_column(bins, slice, [&](const Feature& f) {
      if (f.common < 0) return;
      Word* sums = static_cast<Word*>(histogram.sums) + f.offset;
      Word others{};
      for (int32_t c = 0; c < f.stored; ++c) others += sums[c];
      sums[f.common] = packed<Word>(total) - others;
    });
  });
}

void tree_add(const Bins& bins, const FeatureSlice& slice, const Histogram& from,
              const Histogram& into) {
  with_word(into.packing, [&](auto word) {
    using Word = decltype(word);
    for_each_column(bins, slice, [&](const Feature& f) {
      const Word* a = static_cast<const Word*>(from.sums) + f.offset;
      Word* b = static_cast<Word*>(into.sums) + f.offset;
      for (int32_t c = 0; c < f.stored; ++c) b[c] += a[c];
    });
  });
}

void tree_subtract(const Bins& bins, const FeatureSlice& slice, const Histogram& parent,
                   const Histogram& child, const Histogram& sibling) {
  with_word(parent.packing, [&](auto p) {
    with_word(child.packing, [&](auto c) {
      with_word(sibling.packing, [&](auto s) {
        subtract(bins, slice, static_cast<const decltype(p)*>(parent.sums),
                 static_cast<const decltype(c)*>(child.sums),
                 static_cast<decltype(s)*>(sibling.sums));
      });
    });
  });
}

}  // namespace pyllm::PYLLM_ISA
