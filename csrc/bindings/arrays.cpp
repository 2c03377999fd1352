#include "bindings/arrays.h"

#include <algorithm>
#include <unordered_map>

#include "bindings/dlpack_capsule.h"
#include "core/memory.h"

namespace pyllm::bind {
namespace {

// NumPy's number for ml_dtypes.bfloat16, known once ml_dtypes has been imported.
int bfloat16_number() {
  static const int number = [] {
    const auto type = py::module_::import("ml_dtypes").attr("bfloat16");
    return py::dtype::from_args(type).num();
  }();
  return number;
}

// NumPy numbers C types; on LP64 both int64 spellings (long, long long) occur.
bool dtype_of_number(int number, DType& dtype) {
  using py::detail::npy_api;
  switch (number) {
    case npy_api::NPY_BOOL_:
      dtype = DType::boolean;
      return true;
    case npy_api::NPY_BYTE_:
      dtype = DType::i8;
      return true;
    case npy_api::NPY_UBYTE_:
      dtype = DType::u8;
      return true;
    case npy_api::NPY_SHORT_:
      dtype = DType::i16;
      return true;
    case npy_api::NPY_USHORT_:
      dtype = DType::u16;
      return true;
    case npy_api::NPY_INT_:
      dtype = DType::i32;
      return true;
    case npy_api::NPY_UINT_:
      dtype = DType::u32;
      return true;
    case npy_api::NPY_LONG_:
    case npy_api::NPY_LONGLONG_:
      dtype = DType::i64;
      return true;
    case npy_api::NPY_ULONG_:
    case npy_api::NPY_ULONGLONG_:
      dtype = DType::u64;
      return true;
    case npy_api::NPY_FLOAT_:
      dtype = DType::f32;
      return true;
    case npy_api::NPY_DOUBLE_:
      dtype = DType::f64;
      return true;
    case 23:  // NPY_HALF
      dtype = DType::f16;
      return true;
    default:
      dtype = DType::bf16;
      return number == bfloat16_number();
  }
}

const py::dtype& numpy_dtype(DType dtype) {
  static const auto* table = [] {
    auto* t = new std::unordered_map<DType, py::dtype>;
    for (const DType d :
         {DType::f32, DType::f64, DType::f16, DType::i8, DType::i16, DType::i32, DType::i64,
          DType::u8, DType::u16, DType::u32, DType::u64, DType::boolean}) {
      t->emplace(d, py::dtype(name_of(d)));
    }
    t->emplace(DType::bf16,
               py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16")));
    return t;
  }();
  return table->at(dtype);
}

std::string type_name(py::handle object) {
  return py::str(py::type::of(object).attr("__name__"));
}

// from_dlpack of the module that defines the object's type, or of the nearest package around it:
// torch.from_dlpack, jax.dlpack.from_dlpack (the array type lives in jaxlib), cupy.from_dlpack, ...
py::object find_from_dlpack(py::handle object) {
  static auto* known = new std::unordered_map<PyTypeObject*, py::object>;
  PyTypeObject* type = Py_TYPE(object.ptr());
  if (const auto it = known->find(type); it != known->end()) return it->second;
  std::string module = py::str(py::type::of(object).attr("__module__"));
  if (module.rfind("jaxlib", 0) == 0) module = "jax";
  const py::dict modules = py::module_::import("sys").attr("modules");
  py::object found = py::none();
  for (;;) {
    if (modules.contains(module)) {
      const py::object package = modules[module.c_str()];
      if (py::hasattr(package, "from_dlpack")) {
        found = package.attr("from_dlpack");
        break;
      }
      if (py::hasattr(package, "dlpack") && py::hasattr(package.attr("dlpack"), "from_dlpack")) {
        found = package.attr("dlpack").attr("from_dlpack");
        break;
      }
    }
    const size_t dot = module.rfind('.');
    if (dot == std::string::npos) break;
    module.resize(dot);
  }
  Py_INCREF(type);  // the table keys on its address
  known->emplace(type, found);
  return found;
}

// JAX's arrays are immutable by contract, which its capsules do not say.
bool immutable_by_contract(py::handle object) {
  const std::string module = py::str(py::type::of(object).attr("__module__"));
  return module.rfind("jax", 0) == 0;
}

void contiguous_strides(Array& view) {
  int64_t stride = 1;
  for (int i = view.ndim - 1; i >= 0; --i) {
    view.strides[i] = stride;
    stride *= std::max<int64_t>(view.shape[i], 1);
  }
}

// Lowest and one past the highest byte a view touches.
std::pair<const char*, const char*> extent(const Array& a) {
  const auto* low = static_cast<const char*>(a.data);
  const char* high = low;
  if (a.size() == 0) return {low, low};
  const auto item = static_cast<int64_t>(size_of(a.dtype));
  for (int i = 0; i < a.ndim; ++i) {
    const int64_t reach = (a.shape[i] - 1) * a.strides[i] * item;
    (reach < 0 ? low : high) += reach;
  }
  return {low, high + item};
}

std::string dtype_list(std::initializer_list<DType> dtypes) {
  std::string text;
  for (const DType d : dtypes) text += (text.empty() ? "" : ", ") + std::string(name_of(d));
  return text;
}

[[noreturn]] void fail_value(const char* name, const std::string& problem) {
  throw py::value_error(std::string(name) + ": " + problem);
}
[[noreturn]] void fail_type(const char* name, const std::string& problem) {
  throw py::type_error(std::string(name) + ": " + problem);
}

// Do two views of one shape and strides lie in different columns of the rows of one buffer?
bool in_columns_apart(const Array& a, const Array& b) {
  const int last = a.ndim - 1;
  if (a.ndim < 2 || a.ndim != b.ndim || a.dtype != b.dtype || a.strides[last] != 1) return false;
  const int64_t width = a.shape[last], pitch = a.strides[last - 1];
  for (int i = 0; i < a.ndim; ++i) {
    if (a.shape[i] != b.shape[i] || a.strides[i] != b.strides[i]) return false;
    if (i < last && (pitch < width || a.strides[i] % pitch != 0)) return false;
  }
  const int64_t distance = (static_cast<const char*>(b.data) - static_cast<const char*>(a.data)) /
                           static_cast<int64_t>(size_of(a.dtype));
  const int64_t column = (distance % pitch + pitch) % pitch;
  return column >= width && pitch - column >= width;
}

}  // namespace

Input::Input(py::handle object, const char* name) : name_(name) {
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
  writable_ = imported.writable;
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

const Input& Input::require_float() const {
  if (!is_float(view_.dtype)) {
    fail_type(name_, std::string("expected float32, bfloat16, float16 or float64, got ") +
                         name_of(view_.dtype));
  }
  return *this;
}

const Input& Input::require_dtype(std::initializer_list<DType> allowed) const {
  if (std::find(allowed.begin(), allowed.end(), view_.dtype) == allowed.end()) {
    fail_type(name_, "expected dtype " + dtype_list(allowed) + ", got " + name_of(view_.dtype));
  }
  return *this;
}

const Input& Input::require_same_dtype(const Input& other) const {
  if (view_.dtype != other.view_.dtype) {
    fail_type(name_, std::string("expected the dtype of ") + other.name_ + ", " +
                         name_of(other.view_.dtype) + ", got " + name_of(view_.dtype));
  }
  return *this;
}

const Input& Input::require_ndim(int ndim) const {
  if (view_.ndim != ndim) {
    fail_value(name_,
               "expected " + std::to_string(ndim) + " axes, got shape " + shape_string(shape()));
  }
  return *this;
}

const Input& Input::require_shape(std::span<const int64_t> expected) const {
  if (!std::equal(expected.begin(), expected.end(), shape().begin(), shape().end())) {
    fail_value(name_,
               "expected shape " + shape_string(expected) + ", got " + shape_string(shape()));
  }
  return *this;
}

const Input& Input::require_shape(std::initializer_list<int64_t> expected) const {
  return require_shape(std::span(expected.begin(), expected.size()));
}

const Input& Input::require_contiguous() const {
  if (!view_.is_contiguous()) fail_value(name_, "expected a C-contiguous array");
  return *this;
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
  if (!given.writable() || (given.foreign() && immutable_by_contract(out))) {
    fail_value(name, "is read-only");
  }
  for (int i = 0; i < given->ndim && given->size() > 0; ++i) {
    if (given->shape[i] > 1 && given->strides[i] == 0) {
      fail_value(name, "elements overlap each other (stride 0); pass an array of its own");
    }
  }
  return {given.view(), py::reinterpret_borrow<py::object>(out)};
}

void require_no_overlap(const Array& out, const Input& in, bool same_view_is_fine) {
  const Array& a = in.view();
  const auto [out_low, out_high] = extent(out);
  const auto [in_low, in_high] = extent(a);
  if (out_high <= in_low || in_high <= out_low || in_columns_apart(out, a)) return;
  bool same = out.data == a.data && out.dtype == a.dtype && out.ndim == a.ndim;
  for (int i = 0; same && i < a.ndim; ++i) {
    same = out.shape[i] == a.shape[i] && (a.shape[i] <= 1 || out.strides[i] == a.strides[i]);
  }
  if (!(same && same_view_is_fine)) {
    throw py::value_error(std::string("out: overlaps the memory of ") + in.name());
  }
}

Array broadcast(const Input& a, std::span<const int64_t> shape) {
  Array view = a.view();
  view.ndim = static_cast<int>(shape.size());
  const int missing = view.ndim - a->ndim;
  for (int i = 0; i < view.ndim; ++i) {
    const int64_t own = i < missing ? 1 : missing < 0 ? -1 : a->shape[i - missing];
    if (own != 1 && own != shape[i]) {
      throw py::value_error(std::string(a.name()) + ": shape " + shape_string(a.shape()) +
                            " does not broadcast to " + shape_string(shape));
    }
    view.shape[i] = shape[i];
    view.strides[i] = own == 1 ? 0 : a->strides[i - missing];
  }
  return view;
}

std::vector<int64_t> broadcast_shape(const Input& a, const Input& b) {
  const Input& longer = a->ndim >= b->ndim ? a : b;
  const Input& shorter = a->ndim >= b->ndim ? b : a;
  std::vector<int64_t> shape(longer.shape().begin(), longer.shape().end());
  const int missing = longer->ndim - shorter->ndim;
  for (int i = 0; i < shorter->ndim; ++i) {
    int64_t& size = shape[i + missing];
    if (size == 1) size = shorter->shape[i];
    if (shorter->shape[i] != 1 && shorter->shape[i] != size) {
      throw py::value_error(std::string(b.name()) + ": shape " + shape_string(b.shape()) +
                            " does not broadcast with " + shape_string(a.shape()));
    }
  }
  return shape;
}

int normalize_axis(int64_t axis, int ndim, const char* name) {
  if (axis < -ndim || axis >= ndim) {
    fail_value(name, std::to_string(axis) + " is out of range for an array of " +
                         std::to_string(ndim) + " axes");
  }
  return static_cast<int>(axis < 0 ? axis + ndim : axis);
}

std::string shape_string(std::span<const int64_t> shape) {
  std::string text = "(";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

}  // namespace pyllm::bind
