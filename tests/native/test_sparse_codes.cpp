// Codes of a sparse matrix by its rows, against those of one cell after the other; bundles of them,
// and trees from bundled columns against those from columns alone.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "core/parallel.h"
#include "cpu/trees/bundles.h"
#include "cpu/trees/column_cuts.h"
#include "cpu/trees/csr_codes.h"
#include "cpu/trees/grow.h"

using namespace pyllm;
using namespace pyllm::trees;

namespace {

constexpr int32_t kVariable = 7;  // features of which a row has one
constexpr int32_t kFeatures = 3 * kVariable + 2;

uint32_t mixed(int64_t row, int32_t of) {
  uint32_t x = static_cast<uint32_t>(row) * 2654435761u + static_cast<uint32_t>(of) * 40503u + 7;
  x ^= x >> 15;
  x *= 2246822519u;
  return x ^ x >> 13;
}

Array array_of(void* data, DType dtype, size_t n) {
  Array a;
  a.data = data;
  a.dtype = dtype;
  a.ndim = 1;
  a.shape[0] = static_cast<int64_t>(n);
  a.strides[0] = 1;
  return a;
}

// Two one-hot variables, one of numbers, a feature that most rows store and one that none does.
template <class T, class Index>
struct Sparse {
  std::vector<T> data;
  std::vector<Index> indices;
  std::vector<int64_t> offset{0};
  std::vector<std::vector<T>> cells;  // by row
  std::vector<SparseCodes> features = std::vector<SparseCodes>(kFeatures);
  CsrMatrix matrix;

  explicit Sparse(int64_t rows) {
    for (int64_t row = 0; row < rows; ++row) {
      std::vector<T> cell(kFeatures, 0);
      for (int32_t v = 0; v < 3; ++v) {
        const uint32_t draw = mixed(row, v);
        const auto f = static_cast<int32_t>(v * kVariable + draw % (kVariable + 1));
        if (f == (v + 1) * kVariable) continue;  // none
        T x = v < 2 ? 1 : static_cast<T>(draw % 100) / 10 - 5;
        if (draw % 97 == 0) x = std::numeric_limits<T>::quiet_NaN();
        put(cell, f, x);
      }
      const uint32_t draw = mixed(row, 3);
      if (row % 50 != 3 && draw % 5 != 0) put(cell, 3 * kVariable, static_cast<T>(draw % 3));
      offset.push_back(static_cast<int64_t>(data.size()));
      cells.push_back(std::move(cell));
    }
    data.shrink_to_fit();
    indices.shrink_to_fit();
    matrix.data = array_of(data.data(), sizeof(T) == 8 ? DType::f64 : DType::f32, data.size());
    matrix.indices =
        array_of(indices.data(), sizeof(Index) == 8 ? DType::i64 : DType::i32, data.size());
    matrix.offset = offset.data();
    matrix.rows = rows;
    matrix.features = kFeatures;
    for (int32_t f = 0; f < kFeatures - 1; ++f) features[f].cuts = {0.5};
    for (int32_t f = 2 * kVariable; f < 3 * kVariable; ++f) features[f].cuts = {-3.1, -0.2, 0, 2};
    features[3 * kVariable].cuts = {0.5, 1.5};
    for (SparseCodes& f : features) f.usual = code_of(f, 0);
  }

  static int32_t code_of(const SparseCodes& f, T x) {
    if (x != x) return static_cast<int32_t>(f.cuts.size()) + 1;
    return static_cast<int32_t>(
        std::count_if(f.cuts.begin(), f.cuts.end(), [&](double cut) { return cut < x; }));
  }
  int32_t code(int64_t row, int32_t f) const { return code_of(features[f], cells[row][f]); }

 private:
  void put(std::vector<T>& cell, int32_t f, T x) {
    cell[f] = x;
    data.push_back(x);
    indices.push_back(static_cast<Index>(f));
  }
};

// Lists of all features, and where their rows are.
struct Listed {
  CsrCounts counts;
  std::vector<std::vector<int32_t>> rows;

  template <class T, class Index>
  explicit Listed(Sparse<T, Index>& sparse) {
    tree_count_entries(CountEntriesArgs{sparse.matrix, &sparse.features, &counts});
    ListEntriesArgs args{sparse.matrix, &sparse.features, &counts, {}};
    for (int32_t f = 0; f < kFeatures; ++f) {
      rows.emplace_back(counts.of(f));
      args.rows.push_back(f == 1 ? nullptr : rows.back().data());
      sparse.features[f].missing = counts.missing[f] != 0;
    }
    tree_list_entries(args);
  }
};

// The columns of some data, in bundles of a variable's features or alone, the last of them wide.
struct Columns {
  std::vector<uint8_t> narrow_by_row, narrow_by_column;
  std::vector<uint16_t> wide_by_row, wide_by_column;
  Bins bins;

  template <class T, class Index>
  Columns(const Sparse<T, Index>& sparse, bool bundled) {
    const int64_t rows = sparse.matrix.rows;
    StoreEntriesArgs args{sparse.matrix, &sparse.features, {}};
    StoreArgs& plan = args.columns;
    plan.rows = rows;
    bins.rows = rows;
    bins.features.resize(kFeatures);
    for (int32_t f = 0; f < kFeatures; ++f) {
      const bool joins = bundled && f < 3 * kVariable && f % kVariable != 0;
      if (!joins) {
        const bool wide = f == kFeatures - 2;
        const int32_t column = wide ? 0 : narrow_columns++;
        plan.columns.push_back({wide, column, {}});
      }
      add(plan.columns.back(), sparse.features[f], bins.features[f],
          bundled && f < 3 * kVariable ? (joins ? next_ : 1) : 0);
    }
    const int64_t stride = narrow_columns + 3;
    narrow_by_row.resize(rows * stride);
    narrow_by_column.resize(rows * narrow_columns);
    wide_by_row.resize(rows);
    wide_by_column.resize(rows);
    plan.narrow = {narrow_by_row.data(), narrow_by_column.data(), stride};
    plan.wide = {wide_by_row.data(), wide_by_column.data(), 1};
    tree_store_entries(args);
    bins.narrow = {narrow_by_row.data(), narrow_by_column.data(), stride};
    bins.wide = {wide_by_row.data(), wide_by_column.data(), 1};
    place();
  }

  int32_t code(int64_t row, const Feature& f, bool by_row) const {
    const auto of = [&](const auto& m) -> int32_t {
      return by_row ? m.by_row[row * m.stride + f.column] : m.by_column[f.column * bins.rows + row];
    };
    return f.code(f.wide ? of(bins.wide) : of(bins.narrow));
  }

 private:
  void add(SparseColumn& column, const SparseCodes& codes, Feature& f, int32_t first) {
    column.members.push_back({&codes, first, first > 0});
    f.bins = static_cast<int32_t>(codes.cuts.size()) + 1;
    f.missing = codes.missing;
    f.wide = column.wide;
    f.column = column.column;
    f.first = first;
    f.usual = first > 0 ? codes.usual : -1;
    next_ = first + f.codes() - 1;
  }

  // In a histogram.
  void place() {
    for (size_t at = 0; at < bins.features.size();) {
      int32_t codes = bins.features[at].bundled() ? 1 : 0;
      size_t end = at;
      for (; end < bins.features.size(); ++end) {
        const Feature& f = bins.features[end];
        if (!f.shares_column(bins.features[at])) break;
        codes += f.codes() - (f.bundled() ? 1 : 0);
      }
      for (; at < end; ++at) {
        bins.features[at].offset = static_cast<int32_t>(bins.total);
        bins.features[at].stored = codes;
      }
      bins.total += codes;
    }
  }

  int32_t narrow_columns = 0;
  int32_t next_ = 0;
};

template <class T, class Index>
void check_codes(int64_t rows) {
  Sparse<T, Index> sparse(rows);
  std::vector<int64_t> stored;
  CHECK(count_stored(sparse.matrix, stored));
  const Listed listed(sparse);
  for (int32_t f = 0; f < kFeatures; ++f) {
    std::vector<int32_t> expected;
    bool missing = false;
    for (int32_t row = 0; row < rows; ++row) {
      missing = missing || sparse.cells[row][f] != sparse.cells[row][f];
      if (sparse.code(row, f) != sparse.features[f].usual) expected.push_back(row);
    }
    CHECK(sparse.features[f].missing == missing);
    CHECK(listed.rows[f].size() == expected.size());
    CHECK(f == 1 || listed.rows[f] == expected);
    CHECK(stored[f] >= static_cast<int64_t>(expected.size()));
  }
  for (const bool bundled : {false, true}) {
    const Columns columns(sparse, bundled);
    bool same = true;
    for (int64_t row = 0; row < rows; ++row) {
      for (int32_t f = 0; f < kFeatures; ++f) {
        const Feature& feature = columns.bins.features[f];
        same = same && columns.code(row, feature, false) == sparse.code(row, f) &&
               columns.code(row, feature, true) == sparse.code(row, f);
      }
    }
    CHECK(same);
  }
}

struct Grown {
  GrownTree tree;
  std::vector<int32_t> leaf_of_row;
};

Grown grow(const Columns& columns, const GrowOptions& options, bool quantized) {
  const int64_t n = columns.bins.rows;
  std::vector<float> gradient(n), hessian(n, 1.0f);
  for (int64_t row = 0; row < n; ++row) {
    gradient[row] = static_cast<float>(mixed(row, 9) % 64) - 32;
    for (int32_t f = 0; f < kFeatures; ++f) {
      const int32_t code = columns.code(row, columns.bins.features[f], false);
      gradient[row] += static_cast<float>(code * (f % 5 - 2)) * 4;
    }
  }
  GrowInput input;
  input.bins = &columns.bins;
  input.gradient = gradient.data();
  input.hessian = hessian.data();
  input.row_stride = 1;
  input.outputs = 1;
  input.count = n;
  input.seed = 3;
  input.quantized = quantized;
  Grown out;
  out.leaf_of_row.resize(n);
  out.tree = grow_tree(input, options, out.leaf_of_row.data(), [] {});
  return out;
}

bool same(const Grown& a, const Grown& b) {
  return a.leaf_of_row == b.leaf_of_row && a.tree.feature == b.tree.feature &&
         a.tree.bin == b.tree.bin && a.tree.value == b.tree.value;
}

}  // namespace

TEST(codes_from_rows_are_those_of_each_cell) {
  const int threads = num_threads();
  for (const int64_t rows : {0, 1, 255, 1000, 40000}) {
    check_codes<float, int32_t>(rows);
    check_codes<double, int64_t>(rows);
    set_num_threads(rows % 2 == 0 ? 3 : 1);
    check_codes<float, int64_t>(rows);
    check_codes<double, int32_t>(rows);
    set_num_threads(threads);
  }
}

TEST(rows_whose_features_do_not_rise_are_told) {
  std::vector<int64_t> stored;
  for (const int32_t bad : {-1, 0, kFeatures}) {
    Sparse<float, int32_t> sparse(300);
    sparse.indices[sparse.offset[200] + 1] = bad;
    CHECK(!count_stored(sparse.matrix, stored));
  }
}

TEST(cuts_from_rows_are_those_of_each_cell) {
  const Sparse<float, int32_t> sparse(3000);
  std::vector<uint8_t> times(3000);
  std::vector<double> weight(3000);
  int64_t drawn = 0;
  double total = 0;
  for (int64_t row = 0; row < 3000; ++row) {
    times[row] = row % 3;
    weight[row] = row % 4;
    drawn += times[row];
    total += times[row] * weight[row];
  }
  for (const bool weighs : {false, true}) {
    const RowSample sample{times.data(), weighs ? weight.data() : nullptr, drawn,
                           weighs ? total : static_cast<double>(drawn)};
    const auto cuts = csr_cuts(sparse.matrix, sample, 255);
    for (int32_t f = 0; f < kFeatures; ++f) {
      std::vector<float> values;
      for (int64_t row = 0; row < 3000; ++row) {
        const float x = sparse.cells[row][f];
        if (times[row] > 0 && (!weighs || weight[row] > 0) && x == x) values.push_back(x);
      }
      std::sort(values.begin(), values.end());
      values.erase(std::unique(values.begin(), values.end()), values.end());
      bool parts = cuts[f].size() + 1 == values.size();
      for (size_t i = 0; parts && i < cuts[f].size(); ++i) {
        parts = values[i] <= cuts[f][i] && cuts[f][i] < values[i + 1];
      }
      CHECK(parts);
    }
  }
}

TEST(bundles_have_no_row_in_common) {
  Sparse<float, int32_t> sparse(5000);
  Listed listed(sparse);
  std::vector<Candidate> candidates;
  for (int32_t f = 2 * kVariable; f < 3 * kVariable; ++f) {
    sparse.features[f].shared = listed.rows[f].data();
    sparse.features[f].shared_count = static_cast<int64_t>(listed.rows[f].size());
    candidates.push_back({&sparse.features[f], 5});
  }
  const auto bundles = find_bundles(candidates, 5000, 15);
  CHECK(bundles.size() == 3);  // of 3, 3 and 1: none has more than 15 codes
  for (const auto& bundle : bundles) {
    CHECK(bundle.size() <= 3);
    std::vector<int32_t> taken(5000);
    for (const int32_t member : bundle) {
      for (const int32_t row : listed.rows[2 * kVariable + member]) ++taken[row];
    }
    CHECK(*std::max_element(taken.begin(), taken.end()) == 1);
  }
}

TEST(trees_from_bundles_are_those_of_columns_alone) {
  for (const int64_t rows : {1, 300, 9001}) {
    Sparse<float, int32_t> sparse(rows);
    const Listed listed(sparse);
    const Columns alone(sparse, false), bundled(sparse, true);
    GrowOptions options;
    options.objective.l2 = 1;
    for (const bool quantized : {false, true}) {
      options.max_leaves = 31;
      options.leafwise = !quantized;
      const Grown expected = grow(alone, options, quantized);
      CHECK(rows == 1 || expected.tree.feature.size() > 5);
      CHECK(same(grow(bundled, options, quantized), expected));
      const int threads = num_threads();
      set_num_threads(1);
      CHECK(same(grow(bundled, options, quantized), expected));
      set_num_threads(threads);
      options.max_leaves = 0;
      options.min_child_samples = 2;
      CHECK(same(grow(bundled, options, quantized), grow(alone, options, quantized)));
    }
  }
}
