// Sparse features of a data set: their codes as lists, and which of them share a column.
#include <pybind11/stl.h>

#include "bindings/families.h"
#include "bindings/tree_lists.h"
#include "bindings/tree_sample.h"
#include "cpu/trees/column_cuts.h"

namespace pyllm::bind {
namespace {

using namespace trees;

// A matrix stored by columns.
struct SparseArrays {
  Input data, indices, offset;

  SparseArrays(py::handle d, py::handle i, py::handle o)
      : data(d, "data"), indices(i, "indices"), offset(o, "offset") {
    data.require_dtype({DType::f32, DType::f64}).require_ndim(1).require_contiguous();
    indices.require_dtype({DType::i32, DType::i64}).require_same_shape(data).require_contiguous();
    offset.require_dtype({DType::i64}).require_ndim(1).require_contiguous();
  }

  // Whether some of its columns hold rising row numbers below `rows`.
  void check(const std::vector<int32_t>& columns, int64_t rows) const {
    const auto* offsets = offset->as<int64_t>();
    for (const int32_t c : columns) {
      if (c < 0 || c + 1 >= offset.shape(0)) throw py::value_error("columns: out of range");
      if (offsets[c] < 0 || offsets[c] > offsets[c + 1] || offsets[c + 1] > data.shape(0)) {
        throw py::value_error("offset: out of range");
      }
      if (indices->dtype == DType::i64
              ? !rising(indices->as<int64_t>(), offsets[c], offsets[c + 1], rows)
              : !rising(indices->as<int32_t>(), offsets[c], offsets[c + 1], rows)) {
        throw py::value_error("indices: expected rising row numbers below " + std::to_string(rows));
      }
    }
  }

 private:
  template <class Index>
  static bool rising(const Index* at, int64_t begin, int64_t end, int64_t rows) {
    Index last = -1;
    for (int64_t i = begin; i < end; ++i) {
      if (at[i] <= last) return false;
      last = at[i];
    }
    return last < rows;
  }
};

std::vector<std::vector<double>> cuts_of_columns(py::handle data, py::handle indices,
                                                 py::handle offset,
                                                 const std::vector<int32_t>& columns,
                                                 py::handle times, py::handle weight, int64_t rows,
                                                 double total, int32_t max_bin) {
  const SparseArrays arrays(data, indices, offset);
  const SampleArrays sample(times, weight, rows, total);
  arrays.check(columns, sample.all());
  if (max_bin < 2) throw py::value_error("max_bin: expected at least 2");
  const CscMatrix matrix{arrays.data.view(), arrays.indices.view(), arrays.offset->as<int64_t>()};
  const py::gil_scoped_release release;
  return column_cuts(matrix, sample.view(), columns, max_bin);
}

class SparseLists : public FeatureLists {
 public:
  using FeatureLists::FeatureLists;

  void add_rows(py::handle x_object, int64_t first, const std::vector<int32_t>& columns,
                const std::vector<int32_t>& features, int64_t most) {
    const Input x(x_object, "x");
    x.require_dtype({DType::f32, DType::f64}).require_ndim(2);
    if (columns.size() != features.size()) throw py::value_error("columns: expected one a feature");
    for (const int32_t c : columns) {
      if (c < 0 || c >= x.shape(1)) throw py::value_error("columns: out of range");
    }
    if (first < 0 || x.shape(0) > rows_ - first) throw py::value_error("first: out of range");
    ListRowsArgs args;
    args.x = x.view();
    args.columns = columns;
    args.first = first;
    args.most = most;
    args.features = pick(features);
    for (const SparseCodes* list : args.features) {
      if (list->shared) throw py::value_error("features: already listed");
      if (list->count() > 0 && list->rows()[list->count() - 1] >= first) {
        throw py::value_error("first: expected rows after those that are listed");
      }
    }
    const py::gil_scoped_release release;
    tree_list_rows(args);
  }

  void add_columns(py::handle data, py::handle indices, py::handle offset,
                   const std::vector<int32_t>& columns, const std::vector<int32_t>& features) {
    const SparseArrays arrays(data, indices, offset);
    arrays.check(columns, rows_);
    if (columns.size() != features.size()) throw py::value_error("columns: expected one a feature");
    ListColumnsArgs args;
    args.data = arrays.data.view();
    args.indices = arrays.indices.view();
    args.offset = arrays.offset->as<int64_t>();
    args.columns = columns;
    args.features = pick(features);
    for (const SparseCodes* list : args.features) {
      if (list->count() > 0) throw py::value_error("features: already listed");
    }
    kept_.push_back(py::reinterpret_borrow<py::object>(indices));
    const py::gil_scoped_release release;
    tree_list_columns(args);
  }

  // Rows listed by feature; -1: given up.
  std::vector<int64_t> counts() const {
    std::vector<int64_t> result;
    for (const SparseCodes& list : lists_) result.push_back(list.given_up ? -1 : list.count());
    return result;
  }
  std::vector<std::vector<int32_t>> bundles(const std::vector<int32_t>& features,
                                            const std::vector<int32_t>& codes, int32_t most) {
    return find(features, codes, most);
  }

  void store(const std::vector<ColumnPlan>& plan, const CodeArrays& codes) {
    const StoreArgs args = columns(plan, codes);
    const py::gil_scoped_release release;
    tree_store_columns(args);
  }

 private:
  std::vector<py::object> kept_;  // whose rows the lists share
};

}  // namespace

void bind_tree_bundles(py::module_& m) {
  m.def("tree_column_cuts", &cuts_of_columns, py::arg("data"), py::arg("indices"),
        py::arg("offset"), py::arg("columns"), py::arg("times"), py::arg("weight"), py::arg("rows"),
        py::arg("total"), py::arg("max_bin"));
  py::class_<SparseLists>(m, "TreeSparseCodes")
      .def(
          py::init<int64_t, const std::vector<std::vector<double>>&, const std::vector<int32_t>&>(),
          py::arg("rows"), py::arg("cuts"), py::arg("usual"))
      .def("add_rows", &SparseLists::add_rows, py::arg("x"), py::arg("first"), py::arg("columns"),
           py::arg("features"), py::arg("most"))
      .def("add_columns", &SparseLists::add_columns, py::arg("data"), py::arg("indices"),
           py::arg("offset"), py::arg("columns"), py::arg("features"))
      .def_property_readonly("counts", &SparseLists::counts)
      .def_property_readonly("missing", &SparseLists::missing)
      .def("bundles", &SparseLists::bundles, py::arg("features"), py::arg("codes"), py::arg("most"))
      .def("store", &SparseLists::store, py::arg("plan"), py::arg("codes"));
}

}  // namespace pyllm::bind
