#include <memory>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/forest_check.h"
#include "cpu/trees/partial_dependence.h"
#include "cpu/trees/predict.h"
#include "cpu/trees/shap.h"

namespace pyllm::bind {
namespace {

// A C-contiguous vector of `size` elements.
template <class T>
const T* read(const Input& array, DType dtype, int64_t size) {
  array.require_dtype({dtype}).require_shape({size}).require_contiguous();
  return array->as<T>();
}

PackedForest pack(int64_t n_features, int64_t n_outputs, py::handle tree_offset,
                  py::handle tree_output, py::handle feature, py::handle threshold, py::handle left,
                  py::handle right, py::handle default_left, py::handle zero_is_missing,
                  py::handle category_offset, py::handle category_words, py::handle category_bits,
                  py::handle value, bool wide_keys) {
  const Input outputs(tree_output, "tree_output"), offsets(tree_offset, "tree_offset"),
      features(feature, "feature"), thresholds(threshold, "threshold"), lefts(left, "left"),
      rights(right, "right"), defaults(default_left, "default_left"),
      zeros(zero_is_missing, "zero_is_missing"), starts(category_offset, "category_offset"),
      words(category_words, "category_words"), bits(category_bits, "category_bits"),
      values(value, "value");
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max();
  if (n_features < 0 || n_features > kMax) throw py::value_error("n_features: out of range");
  if (n_outputs < 1 || n_outputs > kMax) throw py::value_error("n_outputs: out of range");
  outputs.require_ndim(1);
  features.require_ndim(1);
  bits.require_ndim(1);
  ForestArrays f;
  f.n_features = n_features;
  f.n_outputs = n_outputs;
  f.n_trees = outputs.shape(0);
  f.n_nodes = features.shape(0);
  f.n_words = bits.shape(0);
  f.tree_offset = read<int64_t>(offsets, DType::i64, f.n_trees + 1);
  f.tree_output = read<int32_t>(outputs, DType::i32, f.n_trees);
  f.feature = read<int32_t>(features, DType::i32, f.n_nodes);
  f.threshold = read<double>(thresholds, DType::f64, f.n_nodes);
  f.left = read<int32_t>(lefts, DType::i32, f.n_nodes);
  f.right = read<int32_t>(rights, DType::i32, f.n_nodes);
  f.default_left = read<bool>(defaults, DType::boolean, f.n_nodes);
  f.zero_is_missing = read<bool>(zeros, DType::boolean, f.n_nodes);
  f.category_offset = read<int64_t>(starts, DType::i64, f.n_nodes);
  f.category_words = read<int32_t>(words, DType::i32, f.n_nodes);
  f.category_bits = read<uint32_t>(bits, DType::u32, f.n_words);
  values.require_dtype({DType::f64}).require_ndim(2).require_contiguous();
  f.width = values.shape(1);
  if (f.width != 1 && f.width != n_outputs)
    throw py::value_error("value: as wide as outputs, or 1");
  values.require_shape({f.n_nodes, f.width});
  f.value = values->as<double>();
  const py::gil_scoped_release release;
  return pack_forest(f, wide_keys);
}

void check_trees(const PackedForest& forest, int64_t first, int64_t end) {
  if (first < 0 || end < first || end > static_cast<int64_t>(forest.trees.size())) {
    throw py::value_error("trees: expected a range of the " + std::to_string(forest.trees.size()) +
                          " trees, got " + std::to_string(first) + " to " + std::to_string(end));
  }
}

// What `rows` borrows.
struct RowInputs {
  Input x;
  std::unique_ptr<Input> indices, indptr;
};

ForestRows read_rows(const PackedForest& forest, const RowInputs& in, double absent,
                     bool round_up) {
  ForestRows rows;
  in.x.require_dtype({DType::f32, DType::f64});
  rows.x = in.x.view();
  rows.absent = absent;
  rows.rounding = round_up ? RowRounding::up : RowRounding::nearest;
  if (!in.indptr) {
    in.x.require_ndim(2);
    in.x.require_shape({in.x.shape(0), forest.n_features});
    rows.rows = in.x.shape(0);
    return rows;
  }
  if (!in.indices) throw py::value_error("indices: expected with indptr");
  in.x.require_ndim(1).require_contiguous();
  in.indices->require_dtype({DType::i32, DType::i64}).require_contiguous();
  in.indices->require_shape({in.x.shape(0)});
  in.indptr->require_dtype({DType::i64}).require_ndim(1).require_contiguous();
  rows.rows = in.indptr->shape(0) - 1;
  rows.indptr = (*in.indptr)->as<int64_t>();
  rows.indices = in.indices->view();
  if (rows.rows < 0 || rows.indptr[0] != 0 || rows.indptr[rows.rows] > in.x.shape(0)) {
    throw py::value_error("indptr: expected offsets from 0 to the stored entries");
  }
  for (int64_t i = 0; i < rows.rows; ++i) {
    if (rows.indptr[i + 1] < rows.indptr[i]) throw py::value_error("indptr: expected to grow");
  }
  const auto check = [&](const auto* indices) {
    for (int64_t i = 0; i < rows.indptr[rows.rows]; ++i) {
      if (indices[i] < 0 || indices[i] >= forest.n_features) {
        throw py::value_error("indices: expected below " + std::to_string(forest.n_features) +
                              ", got " + std::to_string(indices[i]));
      }
    }
  };
  rows.indices.dtype == DType::i32 ? check(rows.indices.as<int32_t>())
                                   : check(rows.indices.as<int64_t>());
  return rows;
}

py::object predict(const PackedForest& forest, py::handle x, py::handle indices, py::handle indptr,
                   double absent, bool round_up, int64_t first, int64_t end, py::handle out,
                   bool leaves) {
  const RowInputs in{Input(x, "X"), optional_input(indices, "indices"),
                     optional_input(indptr, "indptr")};
  ForestPredictArgs args;
  args.forest = &forest;
  args.rows = read_rows(forest, in, absent, round_up);
  check_trees(forest, first, end);
  args.first_tree = first;
  args.end_tree = end;
  const std::array<int64_t, 2> shape{args.rows.rows, leaves ? end - first : forest.n_outputs};
  const Output result = make_output(in.x, out, shape, leaves ? DType::i32 : DType::f64);
  if (!result.view.is_contiguous()) throw py::value_error("out: expected a contiguous array");
  require_no_overlap(result.view, in.x, false);
  if (leaves) {
    args.leaves = result.view.as<int32_t>();
  } else {
    args.sums = result.view.as<double>();
    if (out.is_none()) std::fill_n(args.sums, result.view.size(), 0.0);
  }
  run(args.rows.rows * (end - first) * 8, [&] { forest_predict(args); });
  return result.object;
}

// Shares by node of ForestArrays as shares by packed node.
std::vector<double> pack_shares(const PackedForest& forest, py::handle left_share) {
  const Input share(left_share, "left_share");
  const double* given = read<double>(share, DType::f64, forest.n_source_nodes);
  std::vector<double> packed(forest.original.size());
  for (size_t t = 0; t < forest.trees.size(); ++t) {
    const size_t end = t + 1 < forest.trees.size() ? forest.trees[t + 1].first : packed.size();
    for (size_t i = forest.trees[t].first; i < end; ++i) {
      if (forest.original[i] >= 0) packed[i] = given[forest.trees[t].source + forest.original[i]];
    }
  }
  return packed;
}

// Trees deeper than this are not explained: time and memory grow with the square of the depth.
constexpr int32_t kMaxShapDepth = 1024;

py::object shap(const PackedForest& forest, py::handle left_share, py::handle x, py::handle indices,
                py::handle indptr, double absent, bool round_up, bool interactions) {
  const RowInputs in{Input(x, "X"), optional_input(indices, "indices"),
                     optional_input(indptr, "indptr")};
  ForestShapArgs args;
  args.forest = &forest;
  args.rows = read_rows(forest, in, absent, round_up);
  args.interactions = interactions;
  if (forest.max_depth > kMaxShapDepth) {
    throw py::value_error("forest: trees of depth " + std::to_string(forest.max_depth) +
                          " are too deep to explain, at most " + std::to_string(kMaxShapDepth));
  }
  args.max_depth = forest.max_depth;
  const std::vector<double> share = pack_shares(forest, left_share);
  args.left_share = share.data();
  const int64_t columns = forest.n_features + 1;
  std::vector<int64_t> shape{args.rows.rows, forest.n_outputs, columns};
  if (interactions) shape.push_back(columns);
  double size = 1;
  for (const int64_t n : shape) size *= static_cast<double>(n);
  if (size > 0x1p44) throw py::value_error("X: too many rows and features to explain at once");
  const Output result = make_output(in.x, shape, DType::f64);
  args.out = result.view.as<double>();
  const py::gil_scoped_release release;
  std::fill_n(args.out, result.view.size(), 0.0);
  forest_shap(args);
  return result.object;
}

py::object partial_dependence(const PackedForest& forest, py::handle left_share, py::handle known,
                              py::handle x, py::handle indices, py::handle indptr, double absent,
                              bool round_up) {
  const RowInputs in{Input(x, "X"), optional_input(indices, "indices"),
                     optional_input(indptr, "indptr")};
  const Input flags(known, "known");
  PartialDependenceArgs args;
  args.forest = &forest;
  args.rows = read_rows(forest, in, absent, round_up);
  args.known = read<bool>(flags, DType::boolean, forest.n_features);
  const std::vector<double> share = pack_shares(forest, left_share);
  args.left_share = share.data();
  const Output result =
      make_output(in.x, std::vector{args.rows.rows, forest.n_outputs}, DType::f64);
  args.out = result.view.as<double>();
  const py::gil_scoped_release release;
  std::fill_n(args.out, result.view.size(), 0.0);
  forest_partial_dependence(args);
  return result.object;
}

}  // namespace

void bind_forest(py::module_& m) {
  bind_forest_check(m);
  const auto none = py::none();
  py::class_<PackedForest>(m, "PackedForest", "A forest laid out for traversal.")
      .def(py::init(&pack), py::kw_only(), py::arg("n_features"), py::arg("n_outputs"),
           py::arg("tree_offset"), py::arg("tree_output"), py::arg("feature"), py::arg("threshold"),
           py::arg("left"), py::arg("right"), py::arg("default_left"), py::arg("zero_is_missing"),
           py::arg("category_offset"), py::arg("category_words"), py::arg("category_bits"),
           py::arg("value"), py::arg("wide_keys"));
  m.def("forest_predict", &predict, py::arg("forest"), py::arg("X"), py::arg("indices") = none,
        py::arg("indptr") = none, py::arg("absent") = 0.0, py::kw_only(), py::arg("round_up"),
        py::arg("first_tree"), py::arg("end_tree"), py::arg("out") = none,
        py::arg("leaves") = false);
  m.def("forest_shap", &shap, py::arg("forest"), py::arg("left_share"), py::arg("X"),
        py::arg("indices") = none, py::arg("indptr") = none, py::arg("absent") = 0.0, py::kw_only(),
        py::arg("round_up"), py::arg("interactions") = false);
  m.def("forest_partial_dependence", &partial_dependence, py::arg("forest"), py::arg("left_share"),
        py::arg("known"), py::arg("X"), py::arg("indices") = none, py::arg("indptr") = none,
        py::arg("absent") = 0.0, py::kw_only(), py::arg("round_up"));
}

}  // namespace pyllm::bind
