#include "bindings/tree_growth.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <vector>

namespace pyllm::bind {
namespace {

using trees::GrowOptions;

template <class T>
py::array_t<T> to_numpy(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

}  // namespace

py::dict nodes_of(const trees::GrownTree& tree, int32_t outputs) {
  py::dict d;
  d["feature"] = to_numpy(tree.feature);
  d["bin"] = to_numpy(tree.bin);
  d["left"] = to_numpy(tree.left);
  d["right"] = to_numpy(tree.right);
  d["default_left"] = to_numpy(tree.default_left).attr("astype")("bool");
  d["category_offset"] = to_numpy(tree.category_offset);
  d["categories"] = to_numpy(tree.categories);
  d["value"] = to_numpy(tree.value).attr("reshape")(-1, outputs);
  d["gain"] = to_numpy(tree.gain);
  d["cover"] = to_numpy(tree.cover);
  d["count"] = to_numpy(tree.count);
  return d;
}

void bind_tree_options(py::module_& m) {
  using trees::Criterion;
  py::enum_<Criterion>(m, "TreeCriterion", py::module_local())
      .value("newton", Criterion::newton)
      .value("poisson", Criterion::poisson)
      .value("multinomial", Criterion::multinomial)
      .value("bernoulli", Criterion::bernoulli)
      .value("absolute", Criterion::absolute);
  py::class_<GrowOptions>(m, "TreeOptions", py::module_local())
      .def(py::init<>())
      .def_readwrite("leafwise", &GrowOptions::leafwise)
      .def_readwrite("criterion", &GrowOptions::criterion)
      .def_readwrite("max_depth", &GrowOptions::max_depth)
      .def_readwrite("max_leaves", &GrowOptions::max_leaves)
      .def_readwrite("min_gain", &GrowOptions::min_gain)
      .def_readwrite("min_child_weight", &GrowOptions::min_child_weight)
      .def_readwrite("min_child_samples", &GrowOptions::min_child_samples)
      .def_readwrite("min_split_samples", &GrowOptions::min_split_samples)
      .def_readwrite("monotone", &GrowOptions::monotone)
      .def_readwrite("share_by_tree", &GrowOptions::share_by_tree)
      .def_readwrite("share_by_level", &GrowOptions::share_by_level)
      .def_readwrite("share_by_node", &GrowOptions::share_by_node)
      .def_readwrite("interaction", &GrowOptions::interaction)
      .def_readwrite("category_smooth", &GrowOptions::category_smooth)
      .def_readwrite("category_l2", &GrowOptions::category_l2)
      .def_readwrite("max_cat_threshold", &GrowOptions::max_cat_threshold)
      .def_readwrite("max_onehot", &GrowOptions::max_onehot)
      .def_readwrite("min_category_samples", &GrowOptions::min_category_samples)
      .def_readwrite("min_group_samples", &GrowOptions::min_group_samples)
      .def_readwrite("extra_random", &GrowOptions::extra_random)
      .def_property(
          "l1", [](const GrowOptions& o) { return o.objective.l1; },
          [](GrowOptions& o, double v) { o.objective.l1 = v; })
      .def_property(
          "l2", [](const GrowOptions& o) { return o.objective.l2; },
          [](GrowOptions& o, double v) { o.objective.l2 = v; })
      .def_property(
          "max_delta_step", [](const GrowOptions& o) { return o.objective.max_delta_step; },
          [](GrowOptions& o, double v) { o.objective.max_delta_step = v; });
}

}  // namespace pyllm::bind
