#include "bindings_cuda/device_array.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "bindings/argument.h"
#include "bindings/dlpack_capsule.h"
#include "bindings/framework.h"
#include "bindings/numpy_dtype.h"
#include "bindings_cuda/arrays.h"

namespace pyllm::bind_cuda {
namespace {

using bind::fail_type;
using bind::fail_value;
using bind::shape_string;

std::span<const int64_t> shape_of(const DeviceArray& a) {
  return {a.view.shape.data(), static_cast<size_t>(a.view.ndim)};
}

py::tuple tuple_of(const int64_t* values, int count, int64_t factor = 1) {
  py::tuple t(count);
  for (int i = 0; i < count; ++i) t[i] = values[i] * factor;
  return t;
}

DeviceArray to_device(const py::array& given, int device) {
  DType dtype;
  if (!bind::dtype_of_number(given.dtype().num(), dtype) || given.dtype().byteorder() == '>') {
    fail_type("array", "dtype " + std::string(py::str(given.dtype())) + " is not supported");
  }
  if (given.ndim() > kMaxDims) fail_value("array", "at most 8 axes are supported");
  const py::array array = py::array::ensure(given, py::array::c_style);
  const std::vector<int64_t> shape(array.shape(), array.shape() + array.ndim());
  const Stream stream{kLegacyStream, device};
  DeviceArray made = make_array(shape, dtype, stream);
  const DeviceGuard guard(device);
  // Pageable memory: the copy has left `array` when the call returns.
  check(cudaMemcpyAsync(made.view.data, array.data(), array.nbytes(), cudaMemcpyHostToDevice,
                        stream.handle()),
        "copying to the device");
  return made;
}

py::array to_numpy(const DeviceArray& a) {
  const DeviceArray packed = a.view.is_contiguous() ? a : contiguous_copy(a);
  py::array result(bind::numpy_dtype(a.view.dtype),
                   std::vector<py::ssize_t>(shape_of(a).begin(), shape_of(a).end()));
  const DeviceGuard guard(a.stream.device);
  void* to = result.mutable_data();
  const auto bytes = static_cast<size_t>(result.nbytes());
  cudaError_t error;
  {
    const py::gil_scoped_release release;
    error = cudaMemcpyAsync(to, packed.view.data, bytes, cudaMemcpyDeviceToHost,
                            packed.stream.handle());
    if (error == cudaSuccess) error = cudaStreamSynchronize(packed.stream.handle());
  }
  check(error, "copying from the device");
  return result;
}

// The elements that a view's indices reach, counted from its first.
struct Extent {
  int64_t low = 0, high = 0;
};
Extent extent_of(const int64_t* shape, const int64_t* strides, size_t ndim) {
  Extent e;
  for (size_t i = 0; i < ndim; ++i) {
    (strides[i] < 0 ? e.low : e.high) += std::max<int64_t>(shape[i] - 1, 0) * strides[i];
  }
  return e;
}

// The extent of `shape` and `strides` from `offset` must lie inside that of `a`.
DeviceArray as_strided(const DeviceArray& a, const std::vector<int64_t>& shape,
                       const std::vector<int64_t>& strides, int64_t offset, bool writable) {
  if (shape.size() != strides.size() || shape.size() > kMaxDims) {
    fail_value("strides", "expected one a size, and at most 8");
  }
  int64_t count = 1;
  for (const int64_t n : shape) {
    if (n < 0) fail_value("shape", "expected no negative size");
    count *= n;
  }
  const Extent wanted = extent_of(shape.data(), strides.data(), shape.size());
  const Extent whole =
      extent_of(a.view.shape.data(), a.view.strides.data(), static_cast<size_t>(a.view.ndim));
  if (count > 0 && (a.view.size() == 0 || offset + wanted.low < whole.low ||
                    offset + wanted.high > whole.high)) {
    fail_value("strides",
               "the view reaches past the array's " + std::to_string(a.view.size()) + " elements");
  }
  DeviceArray made = a;
  made.view.ndim = static_cast<int>(shape.size());
  std::copy(shape.begin(), shape.end(), made.view.shape.begin());
  std::copy(strides.begin(), strides.end(), made.view.strides.begin());
  made.view.data =
      static_cast<char*>(a.view.data) + offset * static_cast<int64_t>(size_of(a.view.dtype));
  made.writable = a.writable && writable;
  return made;
}

// The bytes of a contiguous array as elements of another type.
DeviceArray view_as(const DeviceArray& a, const py::object& dtype_object) {
  const auto dtype = py::dtype::from_args(dtype_object);
  DeviceArray made = a;
  if (!bind::dtype_of_number(dtype.num(), made.view.dtype)) {
    fail_type("dtype", std::string(py::str(dtype)) + " is not supported");
  }
  const auto bytes = a.view.size() * static_cast<int64_t>(size_of(a.view.dtype));
  const auto item = static_cast<int64_t>(size_of(made.view.dtype));
  if (!a.view.is_contiguous() || bytes % item != 0) {
    fail_value("array", "expected a contiguous array of a whole number of elements of the dtype");
  }
  made.view.ndim = 1;
  made.view.shape[0] = bytes / item;
  made.view.strides[0] = 1;
  return made;
}

py::dict interface_of(const DeviceArray& a) {
  if (a.view.dtype == DType::bf16) {
    throw py::attribute_error("__cuda_array_interface__ cannot describe bfloat16; use __dlpack__");
  }
  py::dict d;
  d["shape"] = tuple_of(a.view.shape.data(), a.view.ndim);
  d["strides"] =
      tuple_of(a.view.strides.data(), a.view.ndim, static_cast<int64_t>(size_of(a.view.dtype)));
  d["typestr"] = bind::numpy_dtype(a.view.dtype).attr("str");
  d["data"] = py::make_tuple(reinterpret_cast<uintptr_t>(a.view.data), !a.writable);
  d["version"] = 3;
  d["stream"] = a.stream.number;
  return d;
}

py::capsule lend(const DeviceArray& a, const py::object& stream, const py::object& max_version) {
  const intptr_t number = stream.is_none() ? kLegacyStream : stream.cast<intptr_t>();
  if (number == 0 || number < -1) {
    fail_value("stream", "expected 1 (legacy), 2 (per thread), a handle, or -1, got " +
                             std::to_string(number));
  }
  if (number != -1) wait({number, a.stream.device}, a.stream);
  return bind::make_capsule(a.view, {dlpack::kCUDA, a.stream.device}, a.owner, max_version);
}

DeviceArray take(py::handle object) {
  const Call call(object, "x");
  return Input(call, object, "x").as_device_array();
}

}  // namespace

DeviceArray make_array(std::span<const int64_t> shape, DType dtype, const Stream& stream) {
  DeviceArray made;
  made.view.dtype = dtype;
  made.view.ndim = static_cast<int>(shape.size());
  std::copy(shape.begin(), shape.end(), made.view.shape.begin());
  bind::contiguous_strides(made.view);
  made.owner = allocate(static_cast<size_t>(made.view.size()) * size_of(dtype), stream);
  made.view.data = made.owner.get();
  made.stream = stream;
  return made;
}

void bind_device_array(py::module_& m) {
  py::class_<DeviceArray>(m, "DeviceArray", py::module_local(),
                          "An array on a CUDA device that belongs to no framework.")
      .def_property_readonly(
          "shape", [](const DeviceArray& a) { return tuple_of(a.view.shape.data(), a.view.ndim); })
      .def_property_readonly(
          "strides",
          [](const DeviceArray& a) { return tuple_of(a.view.strides.data(), a.view.ndim); },
          "In elements.")
      .def_property_readonly("dtype",
                             [](const DeviceArray& a) { return bind::numpy_dtype(a.view.dtype); })
      .def_property_readonly("ndim", [](const DeviceArray& a) { return a.view.ndim; })
      .def_property_readonly("size", [](const DeviceArray& a) { return a.view.size(); })
      .def_property_readonly("device", [](const DeviceArray& a) { return a.stream.device; })
      .def_property_readonly("__cuda_array_interface__", &interface_of)
      .def("numpy", &to_numpy, "A copy on the CPU; waits for the work before it.")
      .def("as_strided", &as_strided, py::arg("shape"), py::arg("strides"), py::arg("offset") = 0,
           py::arg("writable") = true,
           "A view; strides and offset in elements from the array's first, checked.")
      .def("view", &view_as, py::arg("dtype"),
           "The bytes of a contiguous array as a flat array of another dtype.")
      .def(
          "__dlpack__",
          [](const DeviceArray& a, const py::object& stream, const py::object& max_version,
             const py::object&, const py::object&) { return lend(a, stream, max_version); },
          py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
          py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack_device__",
           [](const DeviceArray& a) { return py::make_tuple(int(dlpack::kCUDA), a.stream.device); })
      .def("__repr__", [](const DeviceArray& a) {
        return "DeviceArray(shape=" + shape_string(shape_of(a)) +
               ", dtype=" + name_of(a.view.dtype) +
               ", device=cuda:" + std::to_string(a.stream.device) + ")";
      });
  m.def("to_device", &to_device, py::arg("array"), py::arg("device") = 0,
        "A copy of a NumPy array on a device.");
  m.def("from_dlpack", &take, py::arg("x"), "A DeviceArray over another framework's array.");
}

}  // namespace pyllm::bind_cuda
