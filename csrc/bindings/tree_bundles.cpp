// Sparse features of a data set: their codes as lists, and which of them share a column.
#include <pybind11/stl.h>

#include <tuple>

#include "bindings/families.h"
#include "bindings/tree_codes.h"
#include "cpu/trees/bundles.h"
#include "cpu/trees/column_cuts.h"
#include "cpu/trees/sparse_codes.h"

namespace pyllm::bind {
namespace {

using namespace trees;

// (wide, column, features, first code of each in the bundle; no first codes: one feature as it is)
using ColumnPlan = std::tuple<bool, int32_t, std::vector<int32_t>, std::vector<int32_t>>;

constexpr int32_t kWideCodes = 65535;  // the highest code of two bytes

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
                                                 py::handle times_object, py::handle weight_object,
                                                 int64_t rows, double total, int32_t max_bin) {
  const SparseArrays arrays(data, indices, offset);
  const auto times = optional_input(times_object, "times");
  const auto weight = optional_input(weight_object, "weight");
  int64_t all = rows;
  if (times) {
    times->require_dtype({DType::u8}).require_ndim(1).require_contiguous();
    all = times->shape(0);
  }
  if (weight) {
    weight->require_dtype({DType::f64}).require_ndim(1).require_contiguous();
    if (weight->shape(0) != all) throw py::value_error("weight: expected one a row");
  }
  arrays.check(columns, all);
  if (max_bin < 2) throw py::value_error("max_bin: expected at least 2");
  ColumnSample sample;
  sample.data = arrays.data.view();
  sample.indices = arrays.indices.view();
  sample.offset = arrays.offset->as<int64_t>();
  sample.times = times ? (*times)->as<uint8_t>() : nullptr;
  sample.weight = weight ? (*weight)->as<double>() : nullptr;
  sample.rows = rows;
  sample.total = total;
  const py::gil_scoped_release release;
  return column_cuts(sample, columns, max_bin);
}

class SparseLists {
 public:
  SparseLists(int64_t rows, const std::vector<std::vector<double>>& cuts,
              const std::vector<int32_t>& usual)
      : rows_(rows), lists_(cuts.size()) {
    if (rows < 0 || rows > INT32_MAX) throw py::value_error("rows: out of range");
    if (usual.size() != cuts.size()) throw py::value_error("usual: expected one entry a feature");
    for (size_t f = 0; f < cuts.size(); ++f) {
      if (cuts[f].size() + 1 > 65535) throw py::value_error("cuts: too many");
      if (usual[f] < 0 || usual[f] > static_cast<int32_t>(cuts[f].size()) + 1) {
        throw py::value_error("usual: out of range");
      }
      lists_[f].cuts = cuts[f];
      lists_[f].usual = usual[f];
    }
  }

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
  std::vector<bool> missing() const {
    std::vector<bool> result;
    for (const SparseCodes& list : lists_) result.push_back(list.missing);
    return result;
  }

  // codes: of each feature, those besides its usual one; most: of a bundle.
  std::vector<std::vector<int32_t>> bundles(const std::vector<int32_t>& features,
                                            const std::vector<int32_t>& codes, int32_t most) {
    if (most < 0 || most > kWideCodes) throw py::value_error("most: out of range");
    if (codes.size() != features.size()) throw py::value_error("codes: expected one a feature");
    std::vector<Candidate> candidates;
    const std::vector<SparseCodes*> lists = pick_whole(features);
    for (size_t i = 0; i < lists.size(); ++i) {
      if (codes[i] < 0 || codes[i] > most) throw py::value_error("codes: out of range");
      candidates.push_back({lists[i], codes[i]});
    }
    const py::gil_scoped_release release;
    auto found = find_bundles(candidates, rows_, most);
    for (auto& bundle : found) {
      for (int32_t& member : bundle) member = features[member];
    }
    return found;
  }

  void store(const std::vector<ColumnPlan>& plan, const CodeArrays& codes) {
    if (codes.rows() != rows_) throw py::value_error("codes: wrong rows");
    StoreArgs args;
    args.rows = rows_;
    args.narrow = codes.store<uint8_t>();
    args.wide = codes.store<uint16_t>();
    for (const auto& [wide, column, features, first] : plan) {
      const bool bundled = !first.empty();
      if (column < 0 || column >= codes.columns(wide)) {
        throw py::value_error("plan: column out of range");
      }
      if (bundled ? first.size() != features.size() : features.size() != 1) {
        throw py::value_error("plan: wrong features for column " + std::to_string(column));
      }
      SparseColumn to{wide, column, {}};
      const std::vector<SparseCodes*> lists = pick_whole(features);
      for (size_t i = 0; i < lists.size(); ++i) {
        const auto last = static_cast<int32_t>(lists[i]->cuts.size()) + lists[i]->missing;
        const int32_t highest = bundled ? first[i] + last - 1 : last;
        if (highest > (wide ? kWideCodes : kNarrowBins) || (bundled && first[i] < 1)) {
          throw py::value_error("plan: codes out of range for column " + std::to_string(column));
        }
        to.members.push_back({lists[i], bundled ? first[i] : 0, bundled});
      }
      args.columns.push_back(std::move(to));
    }
    const py::gil_scoped_release release;
    tree_store_columns(args);
  }

 private:
  // Those of which all rows are listed.
  std::vector<SparseCodes*> pick_whole(const std::vector<int32_t>& features) {
    std::vector<SparseCodes*> result = pick(features);
    for (const SparseCodes* list : result) {
      if (list->given_up) throw py::value_error("features: one was given up");
    }
    return result;
  }

  std::vector<SparseCodes*> pick(const std::vector<int32_t>& features) {
    std::vector<SparseCodes*> result;
    std::vector<bool> picked(lists_.size());
    for (const int32_t f : features) {
      if (f < 0 || f >= static_cast<int32_t>(lists_.size())) {
        throw py::value_error("features: out of range");
      }
      if (picked[f]) throw py::value_error("features: expected each once");
      picked[f] = true;
      result.push_back(&lists_[f]);
    }
    return result;
  }

  int64_t rows_;
  std::vector<SparseCodes> lists_;
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
