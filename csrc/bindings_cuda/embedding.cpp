#include <pybind11/stl.h>

#include <optional>
#include <vector>

#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {
namespace {

int32_t id_code(const Input& ids) {
  ids.require_dtype({DType::i32, DType::i64});
  return ids->dtype == DType::i32 ? cuda::kInt32 : cuda::kInt64;
}

// Ids stay on the device: a row whose id is out of range is NaN.
py::object forward(py::handle ids_object, py::handle weight_object, py::handle out) {
  Call call(weight_object, "weight");
  const Input ids(call, ids_object, "ids"), weight(call, weight_object, "weight");
  require_kernel_float(weight).require_ndim(2).require_contiguous();
  EmbeddingForward args{};
  args.id_dtype = id_code(ids);
  std::vector<int64_t> shape(ids.shape().begin(), ids.shape().end());
  shape.push_back(weight.shape(1));
  const Output y(call, weight, out, shape, weight->dtype);
  bind::require_no_overlap(y.view(), weight, false);
  if (!y.view().is_contiguous()) bind::fail_value("out", "expected a contiguous array");
  args.ids = read_contiguous(call, ids.view()).data, args.weight = weight->data;
  args.y = y.view().data, args.y_row_stride = weight.shape(1);
  args.rows = ids->size(), args.entries = weight.shape(0), args.width = weight.shape(1);
  args.dtype = code_of(weight->dtype);
  call.launch(&pyllm_cuda_embedding_forward, args);
  call.finish();
  return y.object();
}

py::object backward(py::handle grad_object, py::handle ids_object, int64_t entries,
                    std::optional<int64_t> padding, py::handle out, bool accumulate) {
  Call call(grad_object, "grad");
  const Input grad(call, grad_object, "grad"), ids(call, ids_object, "ids");
  require_kernel_float(grad).require_contiguous();
  if (entries < 1) bind::fail_value("num_embeddings", "expected at least 1");
  EmbeddingBackward args{};
  args.id_dtype = id_code(ids);
  if (grad->ndim != ids->ndim + 1) bind::fail_value("grad", "expected one axis more than ids");
  std::vector<int64_t> wanted(ids.shape().begin(), ids.shape().end());
  const int64_t width = grad.shape(grad->ndim - 1);
  wanted.push_back(width);
  grad.require_shape(wanted);
  if (accumulate && out.is_none()) {
    bind::fail_value("out", "accumulate=True needs a buffer to add to");
  }
  DType dtype = grad->dtype;
  if (!out.is_none()) {
    const Input given(call, out, "out");
    dtype = given.require_dtype({dtype, DType::f32})->dtype;
  }
  const std::array<int64_t, 2> shape{entries, width};
  const Output dweight(call, grad, out, shape, dtype);
  bind::require_no_overlap(dweight.view(), grad, false);
  if (!dweight.view().is_contiguous()) bind::fail_value("out", "expected a contiguous array");
  const int64_t rows = ids->size();
  args.grad = grad->data, args.grad_row_stride = width;
  args.ids = read_contiguous(call, ids.view()).data;
  args.dweight = dweight.view().data;
  args.keys = call.workspace_of<uint32_t>(2 * rows);
  args.numbers = call.workspace_of<uint32_t>(2 * rows);
  args.counts = call.workspace_of<int32_t>(256 * ((rows + 2047) / 2048));
  args.starts = call.workspace_of<uint32_t>(entries + 1);
  args.partial = call.workspace_of<float>((rows + 31) / 32 * 2 * width);
  args.rows = rows, args.entries = entries, args.width = width;
  args.padding = padding.value_or(-1), args.accumulate = accumulate;
  args.dtype = code_of(grad->dtype), args.dweight_dtype = code_of(dtype);
  call.launch(&pyllm_cuda_embedding_backward, args);
  call.finish();
  return dweight.object();
}

}  // namespace

void bind_embedding(py::module_& m) {
  const auto none = py::none();
  m.def("embedding", &forward, py::arg("ids"), py::arg("weight"), py::arg("out") = none);
  m.def("embedding_backward", &backward, py::arg("grad"), py::arg("ids"), py::arg("num_embeddings"),
        py::arg("padding_idx") = none, py::arg("out") = none, py::arg("accumulate") = false);
}

}  // namespace pyllm::bind_cuda
