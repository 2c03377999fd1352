// Most entries have a code that is not that of zero, and two comparisons tell those that have it;
// only where codes are stored are they searched.
#include "cpu/trees/csr_codes.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "core/parallel.h"
#include "cpu/trees/cut_search.h"

namespace pyllm::PYLLM_ISA {
namespace {

using namespace trees;

constexpr int64_t kBlock = 256;  // rows whose codes are stored while they are in a cache

template <class T>
std::vector<CutSearch<T>> searches_of(const std::vector<SparseCodes>& features) {
  std::vector<CutSearch<T>> searches;
  searches.reserve(features.size());
  for (const SparseCodes& f : features) searches.emplace_back(f.cuts);
  return searches;
}

// The values of a feature's usual bin.
template <class T>
struct UsualRange {
  T before, last;
  bool has(T x) const { return !(x <= before) && x <= last; }
};

template <class T>
std::vector<UsualRange<T>> usual_of(const std::vector<SparseCodes>& features,
                                    const std::vector<CutSearch<T>>& searches) {
  std::vector<UsualRange<T>> usual;
  for (size_t f = 0; f < features.size(); ++f) {
    const int32_t bin = features[f].usual;
    usual.push_back({searches[f].before(bin), searches[f].last(bin)});
  }
  return usual;
}

// Calls visit(row, feature, value) on the entries of some rows.
template <class T, class Index, class Visit>
void for_each_entry(const CsrMatrix& matrix, int64_t begin, int64_t end, Visit&& visit) {
  const T* data = matrix.data.as<T>();
  const Index* indices = matrix.indices.as<Index>();
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t i = matrix.offset[row]; i < matrix.offset[row + 1]; ++i) {
      visit(row, static_cast<int32_t>(indices[i]), data[i]);
    }
  }
}

template <class T, class Index>
void count_entries(const CountEntriesArgs& args) {
  const auto usual = usual_of(*args.features, searches_of<T>(*args.features));
  CsrCounts& result = *args.result;
  result.begins = row_ranges(args.matrix);
  const auto ranges = static_cast<int64_t>(result.begins.size()) - 1;
  result.counts.resize(ranges);
  std::vector<std::vector<uint8_t>> missing(ranges);
  parallel_tasks(ranges, [&](int64_t r) {
    std::vector<int32_t>& counts = result.counts[r];
    counts.resize(usual.size());
    missing[r].resize(usual.size());
    for_each_entry<T, Index>(args.matrix, result.begins[r], result.begins[r + 1],
                             [&](int64_t, int32_t f, T x) {
                               counts[f] += !usual[f].has(x);
                               if (x != x) missing[r][f] = 1;
                             });
  });
  result.missing.assign(usual.size(), 0);
  for (const auto& range : missing) {
    for (size_t f = 0; f < usual.size(); ++f) result.missing[f] |= range[f];
  }
}

template <class T, class Index>
void list_entries(const ListEntriesArgs& args) {
  const auto usual = usual_of(*args.features, searches_of<T>(*args.features));
  // Where each range goes on with a list.
  std::vector<std::vector<int32_t*>> next;
  std::vector<int32_t*> place = args.rows;
  for (const std::vector<int32_t>& counts : args.counts->counts) {
    next.push_back(place);
    for (size_t f = 0; f < place.size(); ++f) {
      if (place[f]) place[f] += counts[f];
    }
  }
  parallel_tasks(static_cast<int64_t>(next.size()), [&](int64_t r) {
    const std::vector<int64_t>& begins = args.counts->begins;
    for_each_entry<T, Index>(args.matrix, begins[r], begins[r + 1],
                             [&, to = next[r].data()](int64_t row, int32_t f, T x) {
                               if (to[f] && !usual[f].has(x)) *to[f]++ = static_cast<int32_t>(row);
                             });
  });
}

// Where the code of a feature goes, and how it is said there.
template <class T>
struct Place {
  UsualRange<T> usual{};
  bool wide = false;
  int32_t column = -1;  // none
  int32_t gap = -1;     // in a bundle: the code that is not stored; else none is
  int32_t first = 0;
  int32_t only = -1;  // what is stored for all numbers that are not usual, if that is one code

  int32_t stored(int32_t code) const { return first + code - (gap >= 0 && code > gap); }
};

// The columns of one width, while a block of rows is stored.
template <class Code>
class Store {
 public:
  Store(const StoreArgs& args, const CodeStore<Code>& to, bool wide)
      : to_(to), rows_(args.rows), usual_(to.stride) {
    for (const SparseColumn& c : args.columns) {
      if (c.wide != wide) continue;
      const ColumnMember& one = c.members.front();
      columns_ = std::max(columns_, c.column + 1);
      usual_[c.column] = static_cast<Code>(one.bundled ? 0 : one.codes->usual);
    }
  }

  // All rows of a block have the usual codes.
  void open(int64_t begin, int64_t end) const {
    for (int32_t c = 0; c < columns_; ++c) {
      Code* column = to_.by_column + c * rows_;
      std::fill(column + begin, column + end, usual_[c]);
    }
    for (int64_t row = begin; columns_ > 0 && row < end; ++row) {
      std::memcpy(to_.by_row + row * to_.stride, usual_.data(), to_.stride * sizeof(Code));
    }
  }

  void set(int64_t row, int32_t column, int32_t code) const {
    to_.by_column[column * rows_ + row] = static_cast<Code>(code);
    to_.by_row[row * to_.stride + column] = static_cast<Code>(code);
  }

 private:
  CodeStore<Code> to_;
  int64_t rows_;
  int32_t columns_ = 0;
  std::vector<Code> usual_;  // of a row
};

template <class T, class Index>
void store_entries(const StoreEntriesArgs& args) {
  const std::vector<SparseCodes>& features = *args.features;
  const auto searches = searches_of<T>(features);
  const auto usual = usual_of(features, searches);
  std::vector<Place<T>> places(features.size());
  for (const SparseColumn& c : args.columns.columns) {
    for (const ColumnMember& m : c.members) {
      const int64_t f = m.codes - features.data();
      const int32_t gap = m.bundled ? m.codes->usual : -1;
      places[f] = {usual[f], c.wide, c.column, gap, m.first};
      if (m.codes->cuts.size() == 1) places[f].only = places[f].stored(1 - m.codes->usual);
    }
  }
  const Store<uint8_t> narrow(args.columns, args.columns.narrow, false);
  const Store<uint16_t> wide(args.columns, args.columns.wide, true);
  const int64_t rows = args.columns.rows;
  parallel_tasks((rows + kBlock - 1) / kBlock, [&](int64_t block) {
    const int64_t begin = block * kBlock, end = std::min(begin + kBlock, rows);
    narrow.open(begin, end);
    wide.open(begin, end);
    for_each_entry<T, Index>(args.matrix, begin, end, [&](int64_t row, int32_t f, T x) {
      const Place<T>& place = places[f];
      if (place.usual.has(x) || place.column < 0) return;
      const bool only = place.only >= 0 && x == x;
      const int32_t code = only ? place.only : place.stored(searches[f].find(x));
      place.wide ? wide.set(row, place.column, code) : narrow.set(row, place.column, code);
    });
  });
}

template <class Args, class Run>
void run(const Args& args, Run&& run_typed) {
  with_types(args.matrix.data, args.matrix.indices, [&](auto* value, auto* index) {
    run_typed.template
    operator()<std::remove_cvref_t<decltype(*value)>, std::remove_cvref_t<decltype(*index)>>();
  });
}

}  // namespace

void tree_count_entries(const CountEntriesArgs& args) {
  run(args, [&]<class T, class Index>() { count_entries<T, Index>(args); });
}

void tree_list_entries(const ListEntriesArgs& args) {
  run(args, [&]<class T, class Index>() { list_entries<T, Index>(args); });
}

void tree_store_entries(const StoreEntriesArgs& args) {
  run(args, [&]<class T, class Index>() { store_entries<T, Index>(args); });
}

}  // namespace pyllm::PYLLM_ISA
