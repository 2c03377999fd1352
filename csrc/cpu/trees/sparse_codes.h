// Codes of features that mostly have the same one: the rows where they do not, feature by feature.
// Their size is that of a sparse matrix, and which rows two features share is easily told.
#pragma once

#include <cstdint>
#include <vector>

#include "core/array.h"
#include "core/isa.h"
#include "cpu/trees/bins.h"

namespace pyllm::trees {

struct SparseCodes {
  std::vector<double> cuts;
  int32_t usual = 0;                // the code of rows that are not listed
  bool missing = false;             // a listed row misses the feature
  bool given_up = false;            // more rows than was worth listing
  std::vector<int32_t> own;         // rows, rising
  const int32_t* shared = nullptr;  // those of a sparse matrix in their place
  int64_t shared_count = 0;
  std::vector<uint16_t> codes;  // by listed row; empty: the other one of two codes

  int64_t count() const { return shared ? shared_count : static_cast<int64_t>(own.size()); }
  const int32_t* rows() const { return shared ? shared : own.data(); }
  int32_t code(int64_t i) const { return codes.empty() ? 1 - usual : codes[i]; }
};

// Lists the rows of a block of a matrix.
struct ListRowsArgs {
  Array x;                       // (rows, columns), float32 or float64, any strides
  std::vector<int32_t> columns;  // of the matrix, one a feature
  std::vector<SparseCodes*> features;
  int64_t first = 0;  // row of the data set that x's first row is
  int64_t most = 0;   // rows of a feature that are worth listing
};

// Lists the entries of a matrix stored by columns.
struct ListColumnsArgs {
  Array data;                       // float32 or float64
  Array indices;                    // int32 or int64, rising within a column; must outlive lists
  const int64_t* offset = nullptr;  // of a column's first entry
  std::vector<int32_t> columns;     // of the matrix, one a feature
  std::vector<SparseCodes*> features;
};

// What a column of codes holds: one feature as it is, or a bundle (bins.h).
struct ColumnMember {
  const SparseCodes* codes = nullptr;
  int32_t first = 0;  // of its codes in a bundle
  bool bundled = false;
};
struct SparseColumn {
  bool wide = false;
  int32_t column = 0;
  std::vector<ColumnMember> members;
};

struct StoreArgs {
  std::vector<SparseColumn> columns;
  int64_t rows = 0;
  CodeStore<uint8_t> narrow;
  CodeStore<uint16_t> wide;
};

}  // namespace pyllm::trees

namespace pyllm {
PYLLM_KERNEL(tree_list_rows, (const trees::ListRowsArgs& args));
PYLLM_KERNEL(tree_list_columns, (const trees::ListColumnsArgs& args));
// Writes columns in both layouts.
PYLLM_KERNEL(tree_store_columns, (const trees::StoreArgs& args));
}  // namespace pyllm
