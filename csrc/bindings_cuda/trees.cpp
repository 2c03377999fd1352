// Growing of decision trees, under the signature of pyllm._cpu.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>

#include "bindings/tree_growing.h"
#include "bindings/tree_growth.h"
#include "bindings_cuda/arrays.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/tree_grower.h"

namespace pyllm::bind_cuda {
namespace {

using RowNumbers = py::array_t<int32_t, py::array::c_style>;

void read_rows(Call& call, const RowNumbers& rows, DeviceGrowInput& input) {
  if (rows.ndim() != 1) bind::fail_value("rows", "expected one axis");
  input.count = rows.shape(0);
  input.host_rows = rows.data();
  const int64_t all = input.bins->rows();
  for (int64_t i = 0; i < input.count; ++i) {
    if (input.host_rows[i] <= (i == 0 ? -1 : input.host_rows[i - 1]) || input.host_rows[i] >= all) {
      bind::fail_value("rows", "expected rising row numbers below " + std::to_string(all));
    }
  }
  auto* to = call.workspace_of<int32_t>(input.count);
  // Pageable memory: the copy has left the array when the call returns.
  check(cudaMemcpyAsync(to, input.host_rows, static_cast<size_t>(input.count) * sizeof(int32_t),
                        cudaMemcpyHostToDevice, call.stream().handle()),
        "copying to the device");
  input.rows = to;
}

py::dict grow(const DeviceBins& bins, py::handle gradient_object, py::handle hessian_object,
              const std::optional<RowNumbers>& rows, const trees::GrowOptions& options,
              uint64_t seed, bool quantized) {
  Call call(gradient_object, "gradient");
  const Input gradient(call, gradient_object, "gradient"), hessian(call, hessian_object, "hessian");
  const Input codes(call, py::cast(bins.codes.by_row), "bins");
  gradient.require_dtype({DType::f32}).require_ndim(2);
  hessian.require_dtype({DType::f32}).require_same_shape(gradient);
  if (gradient.shape(0) != bins.rows() || gradient.shape(1) < 1) {
    bind::fail_value("gradient", "expected a row for each of " + std::to_string(bins.rows()) +
                                     " rows, got shape " + bind::shape_string(gradient.shape()));
  }
  if (hessian->strides != gradient->strides) {
    bind::fail_value("hessian", "expected the memory layout of gradient");
  }
  if (options.extra_random) bind::fail_value("extra_random", "is not supported on a device");
  bind::require_fitting(options, bins.features);
  DeviceGrowInput input;
  input.bins = &bins;
  input.gradient = gradient->as<float>();
  input.hessian = hessian->as<float>();
  input.row_stride = gradient->strides[0];
  input.output_stride = gradient->strides[1];
  input.outputs = static_cast<int32_t>(gradient.shape(1));
  input.count = bins.rows();
  if (rows) read_rows(call, *rows, input);
  if (input.count == 0) bind::fail_value("rows", "expected at least one row");
  input.seed = seed;
  input.quantized = quantized;
  input.stream = call.stream();
  const Output leaf_of_row(call, gradient, std::array{bins.rows()}, DType::i32);
  trees::GrownTree tree;
  {
    const py::gil_scoped_release release;
    bind::SignalCheck signals;
    tree = grow_tree(input, options, leaf_of_row.view().as<int32_t>(), signals);
  }
  call.finish();
  py::dict d = bind::nodes_of(tree, input.outputs);
  d["leaf_of_row"] = leaf_of_row.object();
  return d;
}

}  // namespace

void bind_trees(py::module_& m) {
  bind::bind_tree_options(m);
  m.def("tree_grow", &grow, py::arg("bins"), py::arg("gradient"), py::arg("hessian"),
        py::arg("rows"), py::arg("options"), py::arg("seed"), py::arg("quantized"));
}

}  // namespace pyllm::bind_cuda
