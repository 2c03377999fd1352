// From values to codes, some rows of one feature at a time: a search, then two stores, one in each
// layout.
#include "cpu/trees/binning.h"

#include <algorithm>
#include <atomic>

#include "core/parallel.h"
#include "cpu/trees/cut_search.h"

namespace pyllm::PYLLM_ISA {
namespace {

using namespace trees;

constexpr int64_t kBlock = 1024;  // rows

template <class Code>
void store(const int32_t* codes, int64_t n, const CodeStore<Code>& to, int64_t rows, int64_t row,
           int32_t column) {
  Code* by_column = to.by_column + column * rows + row;
  Code* by_row = to.by_row + row * to.stride + column;
  for (int64_t i = 0; i < n; ++i) by_column[i] = static_cast<Code>(codes[i]);
  for (int64_t i = 0; i < n; ++i) by_row[i * to.stride] = static_cast<Code>(codes[i]);
}

template <class T>
void bin(BinArgs& args) {
  const Array& x = args.x;
  const auto features = static_cast<int64_t>(args.columns.size());
  std::vector<CutSearch<T>> searches;
  for (const CodeColumn& c : args.columns) searches.emplace_back(c.cuts);
  std::vector<std::atomic<bool>> missing(features);
  const int64_t blocks = (x.shape[0] + kBlock - 1) / kBlock;
  parallel_tasks(blocks, [&](int64_t block) {
    const int64_t begin = block * kBlock, n = std::min(kBlock, x.shape[0] - begin);
    const int64_t row = args.first + begin;
    T values[kBlock];
    int32_t codes[kBlock];
    for (int64_t f = 0; f < features; ++f) {
      const CodeColumn& c = args.columns[f];
      if (c.column < 0) continue;
      const T* column = x.as<T>() + begin * x.strides[0] + f * x.strides[1];
      for (int64_t i = 0; i < n; ++i) values[i] = column[i * x.strides[0]];
      if (searches[f].find(values, n, codes)) missing[f].store(true, std::memory_order_relaxed);
      c.wide ? store(codes, n, args.wide, args.rows, row, c.column)
             : store(codes, n, args.narrow, args.rows, row, c.column);
    }
  });
  for (int64_t f = 0; f < features; ++f) args.columns[f].saw_missing = missing[f].load();
}

}  // namespace

void tree_bin(BinArgs& args) {
  args.x.dtype == DType::f64 ? bin<double>(args) : bin<float>(args);
}

}  // namespace pyllm::PYLLM_ISA
