// The codes of a binned data set, as Dataset keeps them.
#pragma once

#include <string>

#include "bindings/arrays.h"
#include "cpu/trees/bins.h"

namespace pyllm::bind {

using trees::CodeMatrix;
using trees::CodeStore;

// The two matrices, each in both layouts.
class CodeArrays {
 public:
  CodeArrays(py::handle narrow_by_row, py::handle narrow_by_column, py::handle wide_by_row,
             py::handle wide_by_column)
      : narrow_by_row_(narrow_by_row, "narrow_by_row"),
        narrow_by_column_(narrow_by_column, "narrow_by_column"),
        wide_by_row_(wide_by_row, "wide_by_row"),
        wide_by_column_(wide_by_column, "wide_by_column") {
    check(narrow_by_row_, narrow_by_column_, DType::u8);
    check(wide_by_row_, wide_by_column_, DType::u16);
    if (wide_by_row_.shape(0) != rows()) throw py::value_error("wide_by_row: wrong rows");
  }

  int64_t rows() const { return narrow_by_row_.shape(0); }
  int64_t columns(bool wide) const { return (wide ? wide_by_column_ : narrow_by_column_).shape(0); }
  template <class Code>
  CodeMatrix<Code> matrix() const {
    const bool wide = sizeof(Code) == 2;
    const Input &by_row = wide ? wide_by_row_ : narrow_by_row_,
                &by_column = wide ? wide_by_column_ : narrow_by_column_;
    return {by_row->as<Code>(), by_column->as<Code>(), by_row.shape(1)};
  }
  // The same to be filled.
  template <class Code>
  CodeStore<Code> store() const {
    for (const Input* a : {&narrow_by_row_, &narrow_by_column_, &wide_by_row_, &wide_by_column_}) {
      if (!a->writable()) throw py::value_error(std::string(a->name()) + ": read-only");
    }
    const CodeMatrix<Code> m = matrix<Code>();
    return {const_cast<Code*>(m.by_row), const_cast<Code*>(m.by_column), m.stride};
  }

 private:
  static void check(const Input& by_row, const Input& by_column, DType dtype) {
    by_row.require_dtype({dtype}).require_ndim(2).require_contiguous();
    by_column.require_dtype({dtype}).require_ndim(2).require_contiguous();
    if (by_column.shape(1) != by_row.shape(0) || by_column.shape(0) > by_row.shape(1)) {
      throw py::value_error(std::string(by_column.name()) + ": does not match " + by_row.name());
    }
  }

  Input narrow_by_row_, narrow_by_column_, wide_by_row_, wide_by_column_;
};

}  // namespace pyllm::bind
