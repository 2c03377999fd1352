// Prediction of forests on a device.
#include <pybind11/numpy.h>

#include <array>
#include <memory>

#include "bindings_cuda/arrays.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/staging.h"
#include "bindings_cuda/tree_launchers.h"

namespace pyllm::bind_cuda {
namespace {

// The arrays of a pyllm.trees.Forest on a device.
struct DeviceForest {
  TreePredict args{};  // but for the rows and the results
  int64_t features = 0, trees = 0;
  Stream stream;
  std::shared_ptr<void> memory;
};

template <class T>
std::vector<T> read(const py::dict& arrays, const char* name, int64_t size) {
  const auto array = arrays[name].cast<py::array_t<T, py::array::c_style | py::array::forcecast>>();
  if (array.size() != size) {
    bind::fail_value(
        name, "expected " + std::to_string(size) + " values, got " + std::to_string(array.size()));
  }
  return {array.data(), array.data() + size};
}

int64_t size_of_array(const py::dict& arrays, const char* name) {
  return arrays[name].attr("size").cast<int64_t>();
}

void require(bool holds, const char* name, const char* what) {
  if (!holds) bind::fail_value(name, what);
}

// arrays: the fields of Forest by name.
std::unique_ptr<DeviceForest> pack(const py::dict& arrays, int64_t n_features, int64_t n_outputs,
                                   bool average, bool float32_input, int device) {
  auto made = std::make_unique<DeviceForest>();
  TreePredict& a = made->args;
  const int64_t trees = size_of_array(arrays, "tree_output");
  const int64_t nodes = size_of_array(arrays, "feature");
  const auto tree_offset = read<int64_t>(arrays, "tree_offset", trees + 1);
  const auto tree_output = read<int32_t>(arrays, "tree_output", trees);
  const auto feature = read<int32_t>(arrays, "feature", nodes);
  const auto left = read<int32_t>(arrays, "left", nodes);
  const auto right = read<int32_t>(arrays, "right", nodes);
  const auto category_offset = read<int64_t>(arrays, "category_offset", nodes);
  const auto category_words = read<int32_t>(arrays, "category_words", nodes);
  const int64_t words = size_of_array(arrays, "category_bits");
  a.width = nodes > 0 ? size_of_array(arrays, "value") / nodes : 1;
  require(n_outputs >= 1 && (a.width == 1 || a.width == n_outputs), "value",
          "expected one column, or one an output");
  require(tree_offset[0] == 0 && tree_offset[trees] == nodes, "tree_offset",
          "does not cover nodes");
  for (int64_t t = 0; t < trees; ++t) {
    const int64_t first = tree_offset[t], size = tree_offset[t + 1] - first;
    require(size >= 1, "tree_offset", "expected a root in each tree");
    require(tree_output[t] < n_outputs && (tree_output[t] >= 0 || a.width == n_outputs),
            "tree_output", "out of range");
    for (int64_t i = 0; i < size; ++i) {
      const int64_t node = first + i;
      if (feature[node] < 0) continue;
      require(feature[node] < n_features, "feature", "out of range");
      require(left[node] > i && left[node] < size && right[node] > i && right[node] < size, "left",
              "expected children after their parent");
      if (category_offset[node] < 0) continue;
      require(category_words[node] >= 0 && category_offset[node] <= words - category_words[node],
              "category_offset", "out of range");
    }
  }
  Upload upload;
  upload.add(a.tree_offset, tree_offset);
  upload.add(a.tree_output, tree_output);
  upload.add(a.feature, feature);
  upload.add(a.threshold, read<double>(arrays, "threshold", nodes));
  upload.add(a.left, left);
  upload.add(a.right, right);
  upload.add(a.default_left, read<uint8_t>(arrays, "default_left", nodes));
  upload.add(a.zero_is_missing, read<uint8_t>(arrays, "zero_is_missing", nodes));
  upload.add(a.category_offset, category_offset);
  upload.add(a.category_words, category_words);
  upload.add(a.category_bits, read<uint32_t>(arrays, "category_bits", words));
  upload.add(a.value, read<double>(arrays, "value", nodes * a.width));
  upload.add(a.base_score, read<double>(arrays, "base_score", n_outputs));
  made->stream.device = device;
  const DeviceGuard guard(device);
  upload.send(made->stream);
  made->memory = upload.memory();
  made->features = n_features, made->trees = trees;
  a.outputs = n_outputs, a.average = average, a.float32_input = float32_input;
  return made;
}

py::object predict(const DeviceForest& forest, py::handle x_object, int64_t first, int64_t end,
                   bool leaves) {
  Call call(x_object, "X");
  const Input x(call, x_object, "X");
  x.require_dtype({DType::f32, DType::f64}).require_ndim(2);
  if (x.shape(1) != forest.features) {
    bind::fail_value("X", "expected " + std::to_string(forest.features) + " features, got " +
                              std::to_string(x.shape(1)));
  }
  if (call.device() != forest.stream.device) {
    bind::fail_value("X", "expected an array on CUDA device " +
                              std::to_string(forest.stream.device) + ", as the forest");
  }
  if (first < 0 || end < first || end > forest.trees) {
    bind::fail_value("trees", "expected a range of the " + std::to_string(forest.trees) + " trees");
  }
  wait(call.stream(), forest.stream);
  const Output made(call, x, std::array{x.shape(0), leaves ? end - first : forest.args.outputs},
                    leaves ? DType::i32 : DType::f64);
  TreePredict args = forest.args;
  args.x = x->data, args.x_float64 = x->dtype == DType::f64;
  args.x_row_stride = x->strides[0], args.x_column_stride = x->strides[1];
  args.rows = x.shape(0), args.first_tree = first, args.last_tree = end;
  args.margin = leaves ? nullptr : made.view().as<double>();
  args.leaves = leaves ? made.view().as<int32_t>() : nullptr;
  call.launch(&pyllm_cuda_tree_predict, args);
  call.finish();
  return made.object();
}

}  // namespace

void bind_forest(py::module_& m) {
  py::class_<DeviceForest>(m, "PackedForest", py::module_local())
      .def(py::init(&pack), py::arg("arrays"), py::kw_only(), py::arg("n_features"),
           py::arg("n_outputs"), py::arg("average"), py::arg("float32_input"), py::arg("device"));
  m.def("forest_predict", &predict, py::arg("forest"), py::arg("X"), py::kw_only(),
        py::arg("first_tree"), py::arg("end_tree"), py::arg("leaves") = false);
}

}  // namespace pyllm::bind_cuda
