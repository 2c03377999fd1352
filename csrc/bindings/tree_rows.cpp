// A sparse matrix stored by rows: its cuts, and codes straight from it.
#include <pybind11/stl.h>

#include <algorithm>

#include "bindings/families.h"
#include "bindings/tree_lists.h"
#include "bindings/tree_sample.h"
#include "core/transient.h"
#include "cpu/trees/csr_codes.h"

namespace pyllm::bind {
namespace {

using namespace trees;

class CsrArrays {
 public:
  CsrArrays(py::handle data, py::handle indices, py::handle offset, int32_t features)
      : data_(data, "data"), indices_(indices, "indices"), offset_(offset, "offset") {
    data_.require_dtype({DType::f32, DType::f64}).require_ndim(1).require_contiguous();
    indices_.require_dtype({DType::i32, DType::i64}).require_same_shape(data_).require_contiguous();
    offset_.require_dtype({DType::i64}).require_ndim(1).require_contiguous();
    if (features < 0) throw py::value_error("features: out of range");
    const int64_t rows = offset_.shape(0) - 1;
    if (rows < 0 || rows > INT32_MAX) throw py::value_error("offset: expected one entry a row");
    matrix_ = {data_.view(), indices_.view(), offset_->as<int64_t>(), rows, features};
    const int64_t* at = matrix_.offset;
    if (at[0] < 0 || at[rows] > data_.shape(0) || !std::is_sorted(at, at + rows + 1)) {
      throw py::value_error("offset: out of range");
    }
    bool rise = false;
    {
      const py::gil_scoped_release release;
      rise = count_stored(matrix_, stored_);
    }
    if (!rise) {
      throw py::value_error("indices: expected rising features below " + std::to_string(features) +
                            " in each row");
    }
  }

  const CsrMatrix& matrix() const { return matrix_; }
  const std::vector<int64_t>& stored() const { return stored_; }

  std::vector<std::vector<double>> cuts(py::handle times, py::handle weight, int64_t rows,
                                        double total, int32_t max_bin) const {
    const SampleArrays sample(times, weight, rows, total);
    if (sample.all() != matrix_.rows) throw py::value_error("rows: expected those of the matrix");
    if (max_bin < 2) throw py::value_error("max_bin: expected at least 2");
    const py::gil_scoped_release release;
    return csr_cuts(matrix_, sample.view(), max_bin);
  }

 private:
  Input data_, indices_, offset_;
  CsrMatrix matrix_;
  std::vector<int64_t> stored_;
};

// All features of a matrix; rows are listed only while bundles are looked for.
class EntryLists : public FeatureLists {
 public:
  EntryLists(const CsrArrays& arrays, const std::vector<std::vector<double>>& cuts,
             const std::vector<int32_t>& usual)
      : FeatureLists(arrays.matrix().rows, cuts, usual), matrix_(arrays.matrix()) {
    if (static_cast<int64_t>(cuts.size()) != matrix_.features) {
      throw py::value_error("cuts: expected one entry a feature");
    }
    for (const SparseCodes& list : lists_) {
      if (list.usual > static_cast<int32_t>(list.cuts.size())) {
        throw py::value_error("usual: expected a bin");
      }
    }
    const py::gil_scoped_release release;
    tree_count_entries(CountEntriesArgs{matrix_, &lists_, &counts_});
    for (size_t f = 0; f < lists_.size(); ++f) lists_[f].missing = counts_.missing[f];
  }

  // Rows by feature that do not have its usual code.
  std::vector<int64_t> counts() const {
    std::vector<int64_t> result;
    for (int32_t f = 0; f < matrix_.features; ++f) result.push_back(counts_.of(f));
    return result;
  }

  std::vector<std::vector<int32_t>> bundles(const std::vector<int32_t>& features,
                                            const std::vector<int32_t>& codes, int32_t most) {
    const Listed listed{pick(features)};
    int64_t total = 0;
    for (const int32_t f : features) total += counts_.of(f);
    const Transient<int32_t> rows(total);
    ListEntriesArgs args{matrix_, &lists_, &counts_, std::vector<int32_t*>(lists_.size())};
    int32_t* place = rows.data();
    for (const int32_t f : features) {
      args.rows[f] = place;
      lists_[f].shared = place;
      lists_[f].shared_count = counts_.of(f);
      place += lists_[f].shared_count;
    }
    {
      const py::gil_scoped_release release;
      tree_list_entries(args);
    }
    return find(features, codes, most);
  }

  void store(const std::vector<ColumnPlan>& plan, const CodeArrays& codes) {
    const StoreEntriesArgs args{matrix_, &lists_, columns(plan, codes)};
    std::vector<bool> planned[2] = {std::vector<bool>(codes.columns(false)),
                                    std::vector<bool>(codes.columns(true))};
    for (const SparseColumn& c : args.columns.columns) planned[c.wide][c.column] = true;
    const auto all = [](const std::vector<bool>& v) { return std::ranges::count(v, false) == 0; };
    if (!all(planned[0]) || !all(planned[1])) {
      throw py::value_error("plan: expected all columns");
    }
    const py::gil_scoped_release release;
    tree_store_entries(args);
  }

 private:
  // Features whose rows are listed until its end.
  struct Listed {
    std::vector<SparseCodes*> lists;
    ~Listed() {
      for (SparseCodes* list : lists) list->shared = nullptr;
    }
  };

  CsrMatrix matrix_;
  CsrCounts counts_;
};

}  // namespace

void bind_tree_rows(py::module_& m) {
  py::class_<CsrArrays>(m, "TreeRows")
      .def(py::init<py::handle, py::handle, py::handle, int32_t>(), py::arg("data"),
           py::arg("indices"), py::arg("offset"), py::arg("features"), py::keep_alive<1, 2>(),
           py::keep_alive<1, 3>(), py::keep_alive<1, 4>())
      .def_property_readonly("stored", &CsrArrays::stored)
      .def("cuts", &CsrArrays::cuts, py::arg("times"), py::arg("weight"), py::arg("rows"),
           py::arg("total"), py::arg("max_bin"));
  py::class_<EntryLists>(m, "TreeRowCodes")
      .def(py::init<const CsrArrays&, const std::vector<std::vector<double>>&,
                    const std::vector<int32_t>&>(),
           py::arg("rows"), py::arg("cuts"), py::arg("usual"), py::keep_alive<1, 2>())
      .def_property_readonly("counts", &EntryLists::counts)
      .def_property_readonly("missing", &EntryLists::missing)
      .def("bundles", &EntryLists::bundles, py::arg("features"), py::arg("codes"), py::arg("most"))
      .def("store", &EntryLists::store, py::arg("plan"), py::arg("codes"));
}

}  // namespace pyllm::bind
