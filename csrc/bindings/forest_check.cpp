// The arrays of a forest, checked once when it is made.
#include "bindings/forest_check.h"

#include "bindings/arrays.h"
#include "cpu/trees/check_children.h"
#include "cpu/trees/check_nodes.h"

namespace pyllm::bind {
namespace {

// A vector with an element a node.
template <class T>
const T* by_node(const Input& array, DType dtype, const Input& feature) {
  array.require_dtype({dtype}).require_same_shape(feature).require_contiguous();
  return array->as<T>();
}

py::object check(int64_t n_features, py::handle tree_offset, py::handle feature_object,
                 py::handle threshold_object, py::handle left_object, py::handle right_object,
                 py::handle category_offset, py::handle category_words, py::handle category_bits,
                 py::handle value_object, py::handle gain_object, py::handle cover_object,
                 py::handle count_object) {
  const Input offset(tree_offset, "tree_offset"), feature(feature_object, "feature"),
      threshold(threshold_object, "threshold"), left(left_object, "left"),
      right(right_object, "right"), starts(category_offset, "category_offset"),
      words(category_words, "category_words"), bits(category_bits, "category_bits"),
      value(value_object, "value"), gain(gain_object, "gain"), cover(cover_object, "cover"),
      count(count_object, "count");
  offset.require_dtype({DType::i64}).require_ndim(1).require_contiguous();
  feature.require_dtype({DType::i32}).require_ndim(1).require_contiguous();
  value.require_dtype({DType::f64}).require_ndim(2).require_contiguous();
  bits.require_dtype({DType::u32}).require_ndim(1);
  trees::CheckedNodes nodes;
  ForestArrays& f = nodes.forest;
  f.n_features = n_features;
  f.n_trees = offset.shape(0) - 1;
  f.n_nodes = feature.shape(0);
  f.n_words = bits.shape(0);
  f.width = value.shape(1);
  value.require_shape({f.n_nodes, f.width});
  f.tree_offset = offset->as<int64_t>();
  f.feature = feature->as<int32_t>();
  f.threshold = by_node<double>(threshold, DType::f64, feature);
  f.left = by_node<int32_t>(left, DType::i32, feature);
  f.right = by_node<int32_t>(right, DType::i32, feature);
  f.category_offset = by_node<int64_t>(starts, DType::i64, feature);
  f.category_words = by_node<int32_t>(words, DType::i32, feature);
  f.value = value->as<double>();
  nodes.gain = by_node<float>(gain, DType::f32, feature);
  nodes.cover = by_node<double>(cover, DType::f64, feature);
  nodes.count = by_node<int64_t>(count, DType::i64, feature);
  for (int64_t t = 0; t <= f.n_trees; ++t) {
    const int64_t before = t == 0 ? 0 : f.tree_offset[t - 1];
    if (f.tree_offset[t] < before || f.tree_offset[t] > f.n_nodes) {
      throw py::value_error("tree_offset: expected rising offsets of nodes");
    }
  }
  trees::ChildFault children;
  trees::NodeFault fault;
  {
    const py::gil_scoped_release release;
    children = trees::check_children(f.n_trees, f.tree_offset, f.feature, f.left, f.right);
    if (!children.field) fault = trees::check_nodes(nodes);
  }
  if (children.field) return py::make_tuple(children.field, children.problem);
  if (fault.field) return py::make_tuple(fault.field, fault.problem);
  return py::none();
}

}  // namespace

void bind_forest_check(py::module_& m) {
  m.def("forest_check", &check, py::kw_only(), py::arg("n_features"), py::arg("tree_offset"),
        py::arg("feature"), py::arg("threshold"), py::arg("left"), py::arg("right"),
        py::arg("category_offset"), py::arg("category_words"), py::arg("category_bits"),
        py::arg("value"), py::arg("gain"), py::arg("cover"), py::arg("count"));
}

}  // namespace pyllm::bind
