#include "bindings/arrays.h"

#include <algorithm>

#include "bindings/dlpack_capsule.h"
#include "bindings/framework.h"
#include "bindings/numpy_dtype.h"
#include "core/memory.h"

namespace pyllm::bind {

Input::Input(py::handle object, const char* name) : Argument(name) {
  if (py::isinstance<py::array>(object)) {
    read_numpy(object);
  } else if (py::hasattr(object, "__dlpack__")) {
    read_dlpack(object);
  } else {
    fail_type(name, "expected a NumPy array or an object with __dlpack__ (torch, JAX, ...), got " +
                        type_name(object));
  }
}

void Input::read_numpy(py::handle object) {
  const auto array = py::reinterpret_borrow<py::array>(object);
  const auto dtype = array.dtype();
  if (!dtype_of_number(dtype.num(), view_.dtype)) {
    fail_type(name_, "dtype " + std::string(py::str(dtype)) + " is not supported");
  }
  if (dtype.byteorder() == '>') fail_type(name_, "big-endian arrays are not supported");
  if (array.ndim() > kMaxDims) {
    fail_value(name_, "at most 8 axes are supported, got " + std::to_string(array.ndim()));
  }
  view_.ndim = static_cast<int>(array.ndim());
  const auto item = static_cast<int64_t>(size_of(view_.dtype));
  for (int i = 0; i < view_.ndim; ++i) {
    view_.shape[i] = array.shape(i);
    if (array.strides(i) % item != 0 && array.shape(i) > 1) {
      fail_value(name_, "strides must be multiples of the element size; pass a copy");
    }
    view_.strides[i] = array.strides(i) / item;
  }
  view_.data = const_cast<void*>(array.data());
  if (reinterpret_cast<uintptr_t>(view_.data) % item != 0 && view_.size() > 0) {
    fail_value(name_, "data is not aligned to the element size; pass a copy");
  }
  writable_ = array.writeable();
  owner_ = array;
}

void Input::read_dlpack(py::handle object) {
  ImportedTensor imported = import_dlpack(object, name_);
  view_ = imported.view;
  if (!imported.on_cpu()) {
    fail_value(name_, "is not in CPU memory (DLPack device type " +
                          std::to_string(imported.device.type) + ")");
  }
  writable_ = imported.writable && !immutable_by_contract(object);
  managed_ = std::move(imported.managed);
  owner_ = py::reinterpret_borrow<py::object>(object);
}

py::object Input::from_dlpack() const {
  py::object found = find_from_dlpack(owner_);
  if (found.is_none()) {
    fail_type(name_, "found no from_dlpack in the package of " + type_name(owner_) +
                         " to return results with; pass np.from_dlpack(array)");
  }
  return found;
}

std::unique_ptr<Input> optional_input(py::handle object, const char* name) {
  return object.is_none() ? nullptr : std::make_unique<Input>(object, name);
}

Output make_output(const Input& like, std::span<const int64_t> shape, DType dtype) {
  Output out;
  out.view.dtype = dtype;
  out.view.ndim = static_cast<int>(shape.size());
  std::copy(shape.begin(), shape.end(), out.view.shape.begin());
  contiguous_strides(out.view);
  const size_t item = size_of(dtype);
  out.view.data = allocate(static_cast<size_t>(out.view.size()) * item);
  if (like.foreign()) {
    out.object = like.from_dlpack()(
        export_dlpack(out.view, std::shared_ptr<void>(out.view.data, deallocate)));
    return out;
  }
  const py::capsule base(out.view.data, [](void* block) { deallocate(block); });
  std::array<py::ssize_t, kMaxDims> bytes{};
  for (int i = 0; i < out.view.ndim; ++i) bytes[i] = out.view.strides[i] * item;
  out.object = py::array(numpy_dtype(dtype), std::vector<py::ssize_t>(shape.begin(), shape.end()),
                         std::vector<py::ssize_t>(bytes.begin(), bytes.begin() + out.view.ndim),
                         out.view.data, base);
  return out;
}

Output make_output(const Input& like, py::handle out, std::span<const int64_t> shape, DType dtype,
                   const char* name) {
  if (out.is_none()) return make_output(like, shape, dtype);
  const Input given(out, name);
  given.require_dtype({dtype}).require_shape(shape);
  given.require_writable();
  return {given.view(), py::reinterpret_borrow<py::object>(out)};
}

}  // namespace pyllm::bind
