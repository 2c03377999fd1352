// Trees that are grown apart and averaged: all of a forest in one call.
#include <pybind11/stl.h>

#include <cstdlib>
#include <limits>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/tree_growing.h"
#include "cpu/trees/averaged.h"

namespace pyllm::bind {
namespace {

using namespace trees;

Bootstrap make_bootstrap(py::handle order_object, py::handle edges_object, bool even,
                         int64_t size) {
  const Input order(order_object, "order"), edges(edges_object, "edges");
  order.require_dtype({DType::i64}).require_ndim(1).require_contiguous();
  edges.require_dtype({DType::f64}).require_same_shape(order).require_contiguous();
  const int64_t rows = order.shape(0);
  if (rows < 1 || rows > std::numeric_limits<int32_t>::max()) {
    throw py::value_error("order: expected at least one row");
  }
  if (size < 1 || size > std::numeric_limits<int32_t>::max()) {
    throw py::value_error("size: expected 1 to 2^31 - 1, got " + std::to_string(size));
  }
  const auto* o = order->as<int64_t>();
  const auto* e = edges->as<double>();
  for (int64_t i = 0; i < rows; ++i) {
    if (o[i] < 0 || o[i] >= rows) throw py::value_error("order: out of range");
    if (!(e[i] >= (i == 0 ? 0.0 : e[i - 1])) || e[i] == std::numeric_limits<double>::infinity()) {
      throw py::value_error("edges: expected rising finite numbers");
    }
  }
  return {{o, o + rows}, {e, e + rows}, even, size};
}

py::array_t<int64_t> draw(const Bootstrap& bootstrap, uint64_t seed) {
  const auto rows = static_cast<py::ssize_t>(bootstrap.order.size());
  py::array_t<int64_t> result(rows);
  int64_t* to = result.mutable_data();
  const py::gil_scoped_release release;
  std::vector<int32_t> counts(rows);
  bootstrap.draw(seed, counts.data());
  std::copy(counts.begin(), counts.end(), to);
  return result;
}

// Watches from the thread that called: Ctrl-C, and a callable that is told how many trees are done.
class Watch {
 public:
  explicit Watch(py::object progress) : progress_(std::move(progress)) {}

  void operator()(int64_t done) {
    signals_();
    if (progress_.is_none() || done == told_) return;
    told_ = done;
    const py::gil_scoped_acquire gil;
    progress_(done);
  }

 private:
  SignalCheck signals_;
  py::object progress_;
  int64_t told_ = 0;
};

int32_t* rows_by_tree(py::handle object, const char* name, int64_t trees, int64_t rows) {
  if (object.is_none()) return nullptr;
  const Input array(object, name);
  array.require_dtype({DType::i32}).require_ndim(2).require_contiguous();
  if (array.shape(0) != trees || array.shape(1) != rows || !array.writable()) {
    throw py::value_error(std::string(name) + ": expected (trees, rows), writable");
  }
  return array->as<int32_t>();
}

// edges: those of all features, `first` where each begins.
Thresholds read_thresholds(const Input& edges, const Input& first, const Bins& bins) {
  edges.require_dtype({DType::f64}).require_ndim(1).require_contiguous();
  first.require_dtype({DType::i64}).require_ndim(1).require_contiguous();
  const auto features = static_cast<int64_t>(bins.features.size());
  if (first.shape(0) != features + 1) throw py::value_error("first: expected one a feature");
  const auto* at = first->as<int64_t>();
  for (int64_t f = 0; f < features; ++f) {
    const bool enough = bins.features[f].categorical || at[f + 1] - at[f] >= bins.features[f].bins;
    if (at[f] < 0 || at[f + 1] < at[f] || at[f + 1] > edges.shape(0) || !enough) {
      throw py::value_error("first: does not match the bins");
    }
  }
  return {&bins, edges->as<double>(), at};
}

// The column as an array that owns it.
template <class T>
py::array_t<T> take(Growable<T>& column, std::vector<py::ssize_t> shape) {
  T* const data = column.data();
  const py::capsule owner(data, std::free);
  column.release();
  return py::array_t<T>(std::move(shape), data, owner);
}

py::dict to_arrays(JoinedTrees& trees, int32_t outputs) {
  const py::ssize_t nodes = trees.nodes();
  NodeColumns& columns = trees.columns();
  py::dict d;
  d["tree_offset"] = py::array_t<int64_t>(trees.trees() + 1, trees.offset().data());
  d["feature"] = take(columns.feature, {nodes});
  d["threshold"] = take(columns.threshold, {nodes});
  d["left"] = take(columns.left, {nodes});
  d["right"] = take(columns.right, {nodes});
  d["default_left"] = take(columns.default_left, {nodes});
  d["category_offset"] = take(columns.category_offset, {nodes});
  d["categories"] = take(columns.categories, {static_cast<py::ssize_t>(trees.words())});
  d["value"] = take(columns.value, {nodes, outputs});
  d["gain"] = take(columns.gain, {nodes});
  d["cover"] = take(columns.cover, {nodes});
  d["count"] = take(columns.count, {nodes});
  return d;
}

py::dict grow(const Bins& bins, py::handle columns_object, py::handle target_object,
              py::handle weight_object, py::handle bootstrap_object, std::vector<uint64_t> seeds,
              const GrowOptions& options, py::handle edges_object, py::handle first_object,
              py::handle leaf_of_row, py::handle drawn, py::object progress) {
  const Input columns(columns_object, "columns"), target(target_object, "target");
  columns.require_dtype({DType::f64}).require_ndim(2).require_contiguous();
  target.require_dtype({DType::f32}).require_same_shape(columns).require_contiguous();
  if (columns.shape(0) != bins.rows || bins.rows < 1 || columns.shape(1) < 1) {
    throw py::value_error("columns: expected a row for each of " + std::to_string(bins.rows) +
                          " rows, got shape " + shape_string(columns.shape()));
  }
  const auto weight = optional_input(weight_object, "weight");
  if (weight) {
    weight->require_dtype({DType::f64}).require_ndim(1).require_contiguous();
    if (weight->shape(0) != bins.rows) throw py::value_error("weight: expected one a row");
  }
  const auto* bootstrap = bootstrap_object.cast<const Bootstrap*>();  // None: null
  if (bootstrap && static_cast<int64_t>(bootstrap->order.size()) != bins.rows) {
    throw py::value_error("bootstrap: expected the rows of the data set");
  }
  require_fitting(options, bins.features);
  const Input edges(edges_object, "edges"), first(first_object, "first");
  const Thresholds thresholds = read_thresholds(edges, first, bins);
  const auto trees = static_cast<int64_t>(seeds.size());
  AveragedInput input;
  input.bins = &bins;
  input.columns = columns->as<double>();
  input.target = target->as<float>();
  input.outputs = static_cast<int32_t>(columns.shape(1));
  input.weight = weight ? (*weight)->as<double>() : nullptr;
  input.bootstrap = bootstrap;
  input.seeds = std::move(seeds);
  input.leaf_of_row = rows_by_tree(leaf_of_row, "leaf_of_row", trees, bins.rows);
  input.drawn = rows_by_tree(drawn, "drawn", trees, bins.rows);
  JoinedTrees grown(trees, input.outputs, thresholds);
  bool interrupted = false;
  try {
    Watch watch(std::move(progress));
    const py::gil_scoped_release release;
    grow_averaged(input, options, watch, grown);
  } catch (const py::error_already_set& error) {
    if (!error.matches(PyExc_KeyboardInterrupt)) throw;
    interrupted = true;
  }
  py::dict result = to_arrays(grown, input.outputs);
  result["interrupted"] = interrupted;
  return result;
}

}  // namespace

void bind_averaged_trees(py::module_& m) {
  py::class_<Bootstrap>(m, "TreeBootstrap")
      .def(py::init(&make_bootstrap), py::arg("order"), py::arg("edges"), py::arg("even"),
           py::arg("size"))
      .def("draw", &draw, py::arg("seed"));
  m.def("tree_grow_averaged", &grow, py::arg("bins"), py::arg("columns"), py::arg("target"),
        py::arg("weight"), py::arg("bootstrap"), py::arg("seeds"), py::arg("options"),
        py::arg("edges"), py::arg("first"), py::arg("leaf_of_row"), py::arg("drawn"),
        py::arg("progress"));
}

}  // namespace pyllm::bind
