#include "cpu/embedding.h"

#include <pybind11/stl.h>

#include <optional>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

// The ids in row-major order, all of them in [0, entries).
std::vector<int64_t> read_ids(const Input& ids, int64_t entries) {
  ids.require_dtype({DType::i32, DType::i64});
  std::vector<int64_t> values(ids->size());
  std::array<int64_t, kMaxDims> index{};
  int64_t offset = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = ids->dtype == DType::i32 ? ids->as<int32_t>()[offset] : ids->as<int64_t>()[offset];
    if (values[i] < 0 || values[i] >= entries) {
      throw py::value_error("ids: expected 0 <= id < " + std::to_string(entries) + ", got " +
                            std::to_string(values[i]) + " at position " + std::to_string(i));
    }
    for (int axis = ids->ndim - 1; axis >= 0; --axis) {
      offset += ids->strides[axis];
      if (++index[axis] < ids->shape[axis]) break;
      offset -= ids->strides[axis] * ids->shape[axis];
      index[axis] = 0;
    }
  }
  return values;
}

py::object forward(py::handle ids_object, py::handle weight_object, py::handle out) {
  const Input ids(ids_object, "ids"), weight(weight_object, "weight");
  weight.require_float().require_ndim(2);
  const auto values = read_ids(ids, weight.shape(0));
  std::vector<int64_t> shape(ids.shape().begin(), ids.shape().end());
  shape.push_back(weight.shape(1));
  const Output y = make_output(weight, out, shape, weight->dtype);
  require_no_overlap(y.view, weight, false);
  const EmbeddingArgs args{values.data(), int64_t(values.size()), weight.view(), y.view};
  run(y.view.size(), [&] { embedding_forward(args); });
  return y.object;
}

py::object backward(py::handle grad_object, py::handle ids_object, int64_t entries,
                    std::optional<int64_t> padding, py::handle out, bool accumulate) {
  const Input grad(grad_object, "grad"), ids(ids_object, "ids");
  grad.require_float();
  if (entries < 1) throw py::value_error("num_embeddings: expected at least 1");
  const auto values = read_ids(ids, entries);
  if (grad->ndim != ids->ndim + 1) throw py::value_error("grad: expected one axis more than ids");
  std::vector<int64_t> wanted(ids.shape().begin(), ids.shape().end());
  const int64_t width = grad.shape(grad->ndim - 1);
  wanted.push_back(width);
  grad.require_shape(wanted);
  if (accumulate && out.is_none()) {
    throw py::value_error("out: accumulate=True needs a buffer to add to");
  }
  DType dtype = grad->dtype;
  if (!out.is_none() && dtype != DType::f64) {
    const Input given(out, "out");
    dtype = given.require_dtype({dtype, DType::f32})->dtype;
  }
  const std::array<int64_t, 2> shape{entries, width};
  const Output dweight = make_output(grad, out, shape, dtype);
  require_no_overlap(dweight.view, grad, false);
  EmbeddingBackwardArgs args;
  args.grad = grad.view(), args.ids = values.data(), args.rows = values.size(),
  args.dweight = dweight.view;
  args.padding = padding.value_or(-1), args.accumulate = accumulate;
  run(grad->size() + entries * width, [&] { embedding_backward(args); });
  return dweight.object;
}

}  // namespace

void bind_embedding(py::module_& m) {
  const auto none = py::none();
  m.def("embedding", &forward, py::arg("ids"), py::arg("weight"), py::arg("out") = none);
  m.def("embedding_backward", &backward, py::arg("grad"), py::arg("ids"), py::arg("num_embeddings"),
        py::arg("padding_idx") = none, py::arg("out") = none, py::arg("accumulate") = false);
}

}  // namespace pyllm::bind
