// Listing reads a matrix by some columns at a time, so that a list grows in one thread and a cache
// line of row-major values is read once; storing writes columns, then turns blocks of them into
// rows.
#include "cpu/trees/sparse_codes.h"

#include <algorithm>
#include <type_traits>

#include "core/parallel.h"
#include "cpu/trees/cut_search.h"

namespace pyllm::PYLLM_ISA {
namespace {

using namespace trees;

constexpr int64_t kBlock = 1024;     // values that are searched at a time
constexpr int64_t kTogether = 16;    // columns of a task
constexpr int64_t kTurnBlock = 256;  // rows that are turned at a time

// Appends those of n rows that differ from the usual.
template <class T, class RowOf>
void list(const CutSearch<T>& search, const T* values, int64_t n, RowOf&& row_of,
          SparseCodes& out) {
  int32_t codes[kBlock];
  out.missing |= search.find(values, n, codes);
  for (int64_t i = 0; i < n; ++i) {
    if (codes[i] == out.usual) continue;
    out.own.push_back(static_cast<int32_t>(row_of(i)));
    out.codes.push_back(static_cast<uint16_t>(codes[i]));
  }
}

void give_up(SparseCodes& codes) {
  codes.given_up = true;
  codes.own = {};
  codes.codes = {};
}

template <class T>
void list_rows(const ListRowsArgs& args) {
  const Array& x = args.x;
  const auto features = static_cast<int64_t>(args.features.size());
  parallel_tasks((features + kTogether - 1) / kTogether, [&](int64_t task) {
    const int64_t from = task * kTogether, to = std::min(from + kTogether, features);
    std::vector<CutSearch<T>> searches;
    for (int64_t f = from; f < to; ++f) searches.emplace_back(args.features[f]->cuts);
    T values[kBlock];
    for (int64_t begin = 0; begin < x.shape[0]; begin += kBlock) {
      const int64_t n = std::min(kBlock, x.shape[0] - begin);
      for (int64_t f = from; f < to; ++f) {
        SparseCodes& out = *args.features[f];
        if (out.given_up) continue;
        const T* column = x.as<T>() + begin * x.strides[0] + args.columns[f] * x.strides[1];
        for (int64_t i = 0; i < n; ++i) values[i] = column[i * x.strides[0]];
        list(searches[f - from], values, n, [&](int64_t i) { return args.first + begin + i; }, out);
        if (out.count() > args.most) give_up(out);
      }
    }
  });
}

// Most columns store no usual value: their rows are used as they stand.
template <class T, class Index>
void list_columns(const ListColumnsArgs& args) {
  parallel_tasks(static_cast<int64_t>(args.features.size()), [&](int64_t f) {
    SparseCodes& out = *args.features[f];
    const CutSearch<T> search(out.cuts);
    const int64_t from = args.offset[args.columns[f]],
                  count = args.offset[args.columns[f] + 1] - from;
    const Index* rows = args.indices.as<Index>() + from;
    out.codes.resize(count);
    int32_t codes[kBlock];
    for (int64_t begin = 0; begin < count; begin += kBlock) {
      const int64_t n = std::min(kBlock, count - begin);
      out.missing |= search.find(args.data.as<T>() + from + begin, n, codes);
      std::copy_n(codes, n, out.codes.begin() + begin);
    }
    const bool all = std::find(out.codes.begin(), out.codes.end(), out.usual) == out.codes.end();
    if (all && std::is_same_v<Index, int32_t>) {
      out.shared = reinterpret_cast<const int32_t*>(rows);
      out.shared_count = count;
    } else {
      int64_t kept = 0;
      for (int64_t i = 0; i < count; ++i) {
        if (out.codes[i] == out.usual) continue;
        out.own.push_back(static_cast<int32_t>(rows[i]));
        out.codes[kept++] = out.codes[i];
      }
      out.codes.resize(kept);
    }
    if (out.cuts.size() == 1 && !out.missing && out.usual < 2) out.codes = {};
  });
}

template <class Code>
void fill(const SparseColumn& column, int64_t rows, Code* __restrict out) {
  const bool bundle = column.members.front().bundled;
  std::fill_n(out, rows, static_cast<Code>(bundle ? 0 : column.members.front().codes->usual));
  for (const ColumnMember& member : column.members) {
    const SparseCodes& from = *member.codes;
    const int32_t* listed = from.rows();
    for (int64_t i = 0; i < from.count(); ++i) {
      const int32_t code = from.code(i);
      out[listed[i]] =
          static_cast<Code>(bundle ? member.first + code - (code > from.usual ? 1 : 0) : code);
    }
  }
}

template <class Code>
void turn(const StoreArgs& args, const CodeStore<Code>& store, bool wide) {
  parallel_for((args.rows + kTurnBlock - 1) / kTurnBlock, 16, [&](int64_t from, int64_t to) {
    for (int64_t block = from; block < to; ++block) {
      const int64_t begin = block * kTurnBlock, end = std::min(begin + kTurnBlock, args.rows);
      for (const SparseColumn& c : args.columns) {
        if (c.wide != wide) continue;
        const Code* in = store.by_column + c.column * args.rows;
        Code* out = store.by_row + c.column;
        for (int64_t row = begin; row < end; ++row) out[row * store.stride] = in[row];
      }
    }
  });
}

}  // namespace

void tree_list_rows(const ListRowsArgs& args) {
  args.x.dtype == DType::f64 ? list_rows<double>(args) : list_rows<float>(args);
}

void tree_list_columns(const ListColumnsArgs& args) {
  const bool is_double = args.data.dtype == DType::f64;
  if (args.indices.dtype == DType::i64) {
    is_double ? list_columns<double, int64_t>(args) : list_columns<float, int64_t>(args);
  } else {
    is_double ? list_columns<double, int32_t>(args) : list_columns<float, int32_t>(args);
  }
}

void tree_store_columns(const StoreArgs& args) {
  parallel_tasks(static_cast<int64_t>(args.columns.size()), [&](int64_t i) {
    const SparseColumn& column = args.columns[i];
    column.wide ? fill(column, args.rows, args.wide.by_column + column.column * args.rows)
                : fill(column, args.rows, args.narrow.by_column + column.column * args.rows);
  });
  turn(args, args.narrow, false);
  turn(args, args.wide, true);
}

}  // namespace pyllm::PYLLM_ISA
