// Binning and growing of decision trees.
#include <pybind11/stl.h>

#include <optional>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/tree_codes.h"
#include "bindings/tree_growing.h"
#include "bindings/tree_growth.h"
#include "cpu/trees/binning.h"
#include "cpu/trees/grow.h"
#include "cpu/trees/sparse_rows.h"

namespace pyllm::bind {
namespace {

using namespace trees;

std::vector<double> cuts(py::handle values_object, py::handle weight_object, int32_t max_bin) {
  const Input values(values_object, "values");
  values.require_dtype({DType::f64}).require_ndim(1).require_contiguous();
  const auto weight = optional_input(weight_object, "weight");
  if (weight) weight->require_dtype({DType::f64}).require_same_shape(values).require_contiguous();
  if (max_bin < 2) throw py::value_error("max_bin: expected at least 2");
  const py::gil_scoped_release release;
  return quantile_cuts(values->as<double>(), weight ? (*weight)->as<double>() : nullptr,
                       values.shape(0), max_bin);
}

std::vector<bool> bin(py::handle x_object, const std::vector<std::vector<double>>& cuts,
                      const std::vector<bool>& wide, const std::vector<int32_t>& columns,
                      int64_t first, const CodeArrays& codes) {
  const Input x(x_object, "x");
  x.require_dtype({DType::f32, DType::f64}).require_ndim(2);
  const auto features = static_cast<size_t>(x.shape(1));
  if (cuts.size() != features || wide.size() != features || columns.size() != features) {
    throw py::value_error("cuts: expected one entry a feature");
  }
  if (first < 0 || x.shape(0) > codes.rows() - first) throw py::value_error("first: out of range");
  BinArgs args;
  args.x = x.view();
  args.first = first;
  args.rows = codes.rows();
  for (size_t f = 0; f < features; ++f) {
    if (columns[f] >= codes.columns(wide[f])) {
      throw py::value_error("columns: out of range");
    }
    if (cuts[f].size() + 1 > (wide[f] ? 65535u : 255u)) throw py::value_error("cuts: too many");
    args.columns.push_back({cuts[f], wide[f], columns[f], false});
  }
  args.narrow = codes.store<uint8_t>();
  args.wide = codes.store<uint16_t>();
  {
    const py::gil_scoped_release release;
    tree_bin(args);
  }
  std::vector<bool> missing;
  for (const CodeColumn& c : args.columns) missing.push_back(c.saw_missing);
  return missing;
}

// Gives each column its place in a histogram.
void lay_out_columns(Bins& bins) {
  std::map<std::pair<bool, int32_t>, std::vector<Feature*>> columns;
  for (Feature& f : bins.features) columns[{f.wide, f.column}].push_back(&f);
  for (auto& [where, features] : columns) {
    // One that is always the same has no code of its own.
    std::ranges::sort(features, {},
                      [](const Feature* f) { return std::pair(f->first, f->codes()); });
    int32_t codes = features[0]->bundled() ? 1 : features[0]->codes();
    for (const Feature* f : features) {
      const bool fits = f->bundled() ? f->first == codes : features.size() == 1;
      codes += f->bundled() ? f->codes() - 1 : 0;
      if (!fits || codes > (f->wide ? 65536 : 256)) {
        throw py::value_error("columns: features overlap in column " +
                              std::to_string(where.second));
      }
    }
    if (bins.total + codes > INT32_MAX) throw py::value_error("bins: too many in all");
    for (Feature* f : features) {
      f->offset = static_cast<int32_t>(bins.total);
      f->stored = codes;
    }
    bins.total += codes;
  }
}

// bins, missing, ...: one entry a feature.
Bins make_bins(const CodeArrays& codes, const std::vector<int32_t>& bins,
               const std::vector<bool>& missing, const std::vector<bool>& categorical,
               const std::vector<bool>& wide, const std::vector<int32_t>& columns,
               const std::vector<int32_t>& first, const std::vector<int32_t>& usual) {
  Bins out;
  out.rows = codes.rows();
  out.narrow = codes.matrix<uint8_t>();
  out.wide = codes.matrix<uint16_t>();
  const size_t n = bins.size();
  if (missing.size() != n || categorical.size() != n || wide.size() != n || columns.size() != n ||
      first.size() != n || usual.size() != n) {
    throw py::value_error("bins: expected one entry a feature");
  }
  for (size_t f = 0; f < n; ++f) {
    if (columns[f] < 0 || columns[f] >= codes.columns(wide[f]) || bins[f] < 1 ||
        bins[f] > (wide[f] ? 65535 : kNarrowBins) || usual[f] >= bins[f] ||
        (usual[f] < 0 && first[f] != 0)) {
      throw py::value_error("bins: out of range for feature " + std::to_string(f));
    }
    Feature feature;
    feature.bins = bins[f];
    feature.missing = missing[f];
    feature.categorical = categorical[f];
    feature.wide = wide[f];
    feature.column = columns[f];
    feature.first = first[f];
    feature.usual = usual[f];
    out.features.push_back(feature);
  }
  lay_out_columns(out);
  const py::gil_scoped_release release;
  list_sparse_rows(out);
  return out;
}

py::dict grow(const Bins& bins, py::handle gradient_object, py::handle hessian_object,
              py::handle rows_object, const GrowOptions& options, uint64_t seed, bool quantized) {
  const Input gradient(gradient_object, "gradient"), hessian(hessian_object, "hessian");
  gradient.require_dtype({DType::f32}).require_ndim(2);
  hessian.require_dtype({DType::f32}).require_same_shape(gradient);
  if (gradient.shape(0) != bins.rows || gradient.shape(1) < 1) {
    throw py::value_error("gradient: expected a row for each of " + std::to_string(bins.rows) +
                          " rows, got shape " + shape_string(gradient.shape()));
  }
  if (hessian->strides != gradient->strides) {
    throw py::value_error("hessian: expected the memory layout of gradient");
  }
  GrowInput input;
  input.bins = &bins;
  input.gradient = gradient->as<float>();
  input.hessian = hessian->as<float>();
  input.row_stride = gradient->strides[0];
  input.output_stride = gradient->strides[1];
  input.outputs = static_cast<int32_t>(gradient.shape(1));
  input.count = bins.rows;
  input.seed = seed;
  input.quantized = quantized;
  const auto rows = optional_input(rows_object, "rows");
  if (rows) {
    rows->require_dtype({DType::i32}).require_ndim(1).require_contiguous();
    input.rows = (*rows)->as<int32_t>();
    input.count = rows->shape(0);
    for (int64_t i = 0; i < input.count; ++i) {
      if (input.rows[i] <= (i == 0 ? -1 : input.rows[i - 1]) || input.rows[i] >= bins.rows) {
        throw py::value_error("rows: expected rising row numbers below " +
                              std::to_string(bins.rows));
      }
    }
  }
  if (input.count == 0) throw py::value_error("rows: expected at least one row");
  require_fitting(options, bins.features);
  py::array_t<int32_t> leaf_of_row(bins.rows);
  GrownTree tree;
  {
    int32_t* leaves = leaf_of_row.mutable_data();
    const py::gil_scoped_release release;
    SignalCheck check;
    tree = grow_tree(input, options, leaves, check);
  }
  py::dict d = nodes_of(tree, input.outputs);
  d["leaf_of_row"] = leaf_of_row;
  return d;
}

}  // namespace

void bind_trees(py::module_& m) {
  m.def("tree_cuts", &cuts, py::arg("values"), py::arg("weight"), py::arg("max_bin"));

  py::class_<CodeArrays>(m, "TreeCodes")
      .def(py::init<py::handle, py::handle, py::handle, py::handle>(), py::arg("narrow_by_row"),
           py::arg("narrow_by_column"), py::arg("wide_by_row"), py::arg("wide_by_column"),
           py::keep_alive<1, 2>(), py::keep_alive<1, 3>(), py::keep_alive<1, 4>(),
           py::keep_alive<1, 5>());
  py::class_<Bins>(m, "TreeBins")
      .def(py::init(&make_bins), py::arg("codes"), py::arg("bins"), py::arg("missing"),
           py::arg("categorical"), py::arg("wide"), py::arg("columns"), py::arg("first"),
           py::arg("usual"), py::keep_alive<1, 2>());

  bind_tree_options(m);
  m.def("tree_bin", &bin, py::arg("x"), py::arg("cuts"), py::arg("wide"), py::arg("columns"),
        py::arg("first"), py::arg("codes"));
  m.def("tree_grow", &grow, py::arg("bins"), py::arg("gradient"), py::arg("hessian"),
        py::arg("rows"), py::arg("options"), py::arg("seed"), py::arg("quantized"));
}

}  // namespace pyllm::bind
