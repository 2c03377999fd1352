// Whole 8-bit states to codes and back.
#include "bindings_cuda/arrays.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"

namespace pyllm::bind_cuda {
namespace {

int64_t blocks_of(int64_t n) {
  constexpr int64_t kBlock = 256;
  return (n + kBlock - 1) / kBlock;
}

py::tuple quantize(py::handle object, bool is_signed) {
  Call call(object, "x");
  const Input x(call, object, "x");
  x.require_dtype({DType::f32}).require_ndim(1).require_contiguous();
  const int64_t n = x.shape(0), blocks = blocks_of(n);
  const Output codes(call, x, std::span(&n, 1), DType::u8);
  const Output scale(call, x, std::span(&blocks, 1), DType::f32);
  const BlockwiseQuantize args{x.view().as<float>(), codes.view().as<uint8_t>(),
                               scale.view().as<float>(), n, is_signed};
  call.launch(&pyllm_cuda_blockwise_quantize, args);
  call.finish();
  return py::make_tuple(codes.object(), scale.object());
}

py::object dequantize(py::handle state, bool is_signed) {
  const auto pair = py::cast<py::tuple>(state);
  if (pair.size() != 2) bind::fail_value("state", "expected (codes, scale)");
  Call call(pair[0], "state");
  const Input codes(call, pair[0], "state"), scale(call, pair[1], "state");
  codes.require_dtype({DType::u8}).require_ndim(1).require_contiguous();
  const int64_t n = codes.shape(0), blocks = blocks_of(n);
  scale.require_dtype({DType::f32}).require_shape({blocks}).require_contiguous();
  const Output x(call, codes, std::span(&n, 1), DType::f32);
  const BlockwiseDequantize args{codes.view().as<uint8_t>(), scale.view().as<float>(),
                                 x.view().as<float>(), n, is_signed};
  call.launch(&pyllm_cuda_blockwise_dequantize, args);
  call.finish();
  return x.object();
}

}  // namespace

void bind_blockwise(py::module_& m) {
  m.def("quantize_blockwise", &quantize, py::arg("x"), py::arg("signed"));
  m.def("dequantize_blockwise", &dequantize, py::arg("state"), py::arg("signed"));
}

}  // namespace pyllm::bind_cuda
