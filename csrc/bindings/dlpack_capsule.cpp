#include "bindings/dlpack_capsule.h"

#include <optional>
#include <string>
#include <utility>

#include "core/dlpack.h"

namespace pyllm::bind {
namespace {

std::optional<DType> to_dtype(dlpack::DataType t) {
  if (t.lanes != 1) return std::nullopt;
  switch (t.code) {
    case dlpack::kFloat:
      if (t.bits == 32) return DType::f32;
      if (t.bits == 64) return DType::f64;
      if (t.bits == 16) return DType::f16;
      break;
    case dlpack::kBfloat:
      if (t.bits == 16) return DType::bf16;
      break;
    case dlpack::kInt:
      if (t.bits == 8) return DType::i8;
      if (t.bits == 16) return DType::i16;
      if (t.bits == 32) return DType::i32;
      if (t.bits == 64) return DType::i64;
      break;
    case dlpack::kUInt:
      if (t.bits == 8) return DType::u8;
      if (t.bits == 16) return DType::u16;
      if (t.bits == 32) return DType::u32;
      if (t.bits == 64) return DType::u64;
      break;
    case dlpack::kBool:
      if (t.bits == 8) return DType::boolean;
      break;
    default:
      break;
  }
  return std::nullopt;
}

dlpack::DataType from_dtype(DType dtype) {
  const auto bits = static_cast<uint8_t>(size_of(dtype) * 8);
  switch (dtype) {
    case DType::f32:
    case DType::f64:
    case DType::f16:
      return {dlpack::kFloat, bits, 1};
    case DType::bf16:
      return {dlpack::kBfloat, bits, 1};
    case DType::i8:
    case DType::i16:
    case DType::i32:
    case DType::i64:
      return {dlpack::kInt, bits, 1};
    case DType::boolean:
      return {dlpack::kBool, bits, 1};
    default:
      return {dlpack::kUInt, bits, 1};
  }
}

Array read_tensor(const dlpack::Tensor& t, const char* name) {
  const std::string prefix = std::string(name) + ": ";
  const auto dtype = to_dtype(t.dtype);
  if (!dtype) {
    throw py::type_error(prefix + "DLPack type (code " + std::to_string(t.dtype.code) + ", " +
                         std::to_string(t.dtype.bits) + " bits, " + std::to_string(t.dtype.lanes) +
                         " lanes) is not supported");
  }
  if (t.ndim < 0 || t.ndim > kMaxDims) {
    throw py::value_error(prefix + "at most 8 axes are supported, got " + std::to_string(t.ndim));
  }
  Array view;
  view.dtype = *dtype;
  view.ndim = t.ndim;
  int64_t stride = 1;
  for (int i = t.ndim - 1; i >= 0; --i) {
    view.shape[i] = t.shape[i];
    view.strides[i] = t.strides ? t.strides[i] : stride;
    stride *= t.shape[i];
  }
  view.data = static_cast<char*>(t.data) + t.byte_offset;
  return view;
}

template <class Managed>
std::shared_ptr<void> take(py::object& capsule, const char* used_name, Managed* managed) {
  PyCapsule_SetName(capsule.ptr(), used_name);
  return {managed, [](Managed* m) {
            if (m->deleter) m->deleter(m);
          }};
}

py::object call_dlpack(py::handle object, const py::object& stream) {
  const py::object method = object.attr("__dlpack__");
  py::dict arguments;
  if (!stream.is_none()) arguments["stream"] = stream;
  py::dict versioned(**arguments);
  versioned["max_version"] = py::make_tuple(1, 1);
  try {
    return method(**versioned);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_TypeError)) throw;  // frameworks from before DLPack 1.0
  }
  return method(**arguments);
}

struct Lent {
  Array view;
  dlpack::Device device;
  std::shared_ptr<void> owner;
};

// Shape and strides must outlive the capsule, so they are kept together with it.
template <class Managed>
struct Export {
  Managed managed{};
  Lent lent;

  static py::capsule make(const Lent& lent, const char* name) {
    auto* e = new Export{{}, lent};
    dlpack::Tensor& t = e->managed.tensor;
    t.data = e->lent.view.data;
    t.device = lent.device;
    t.ndim = e->lent.view.ndim;
    t.dtype = from_dtype(e->lent.view.dtype);
    t.shape = e->lent.view.shape.data();
    t.strides = e->lent.view.strides.data();
    e->managed.manager = e;
    e->managed.deleter = [](Managed* m) { delete static_cast<Export*>(m->manager); };
    return py::capsule(&e->managed, name, [](PyObject* capsule) {
      // A consumer renames the capsule and takes over; otherwise it is ours to free.
      const char* current = PyCapsule_GetName(capsule);
      if (current && std::string(current).rfind("used_", 0) == 0) return;
      auto* m = static_cast<Managed*>(PyCapsule_GetPointer(capsule, current));
      if (m) m->deleter(m);
    });
  }
};

}  // namespace

ImportedTensor import_dlpack(py::handle object, const char* name, const py::object& stream) {
  py::object capsule = call_dlpack(object, stream);
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor_versioned")) {
    auto* managed = static_cast<dlpack::ManagedTensorVersioned*>(
        PyCapsule_GetPointer(capsule.ptr(), "dltensor_versioned"));
    if (managed->version.major != 1) {
      throw py::value_error(std::string(name) + ": DLPack version " +
                            std::to_string(managed->version.major) + " is not supported");
    }
    auto owner = take(capsule, "used_dltensor_versioned", managed);
    return {read_tensor(managed->tensor, name), managed->tensor.device,
            (managed->flags & dlpack::kReadOnly) == 0, std::move(owner)};
  }
  if (PyCapsule_IsValid(capsule.ptr(), "dltensor")) {
    auto* managed =
        static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(capsule.ptr(), "dltensor"));
    auto owner = take(capsule, "used_dltensor", managed);
    return {read_tensor(managed->tensor, name), managed->tensor.device, true, std::move(owner)};
  }
  throw py::type_error(std::string(name) + ": __dlpack__ did not return a DLPack capsule");
}

py::capsule make_capsule(const Array& view, dlpack::Device device, std::shared_ptr<void> owner,
                         const py::object& max_version) {
  const Lent self{view, device, std::move(owner)};
  const bool versioned =
      !max_version.is_none() && max_version.cast<py::tuple>()[0].cast<int>() >= 1;
  if (!versioned) return Export<dlpack::ManagedTensor>::make(self, "dltensor");
  auto capsule = Export<dlpack::ManagedTensorVersioned>::make(self, "dltensor_versioned");
  auto* managed = capsule.get_pointer<dlpack::ManagedTensorVersioned>();
  managed->version = {1, 0};
  managed->flags = 0;
  return capsule;
}

py::object export_dlpack(const Array& view, std::shared_ptr<void> owner) {
  return py::cast(Lent{view, {dlpack::kCPU, 0}, std::move(owner)});
}

void bind_dlpack(py::module_& m) {
  py::class_<Lent>(m, "DLPackExport", "An array of pyllm on its way to another framework.")
      .def(
          "__dlpack__",
          [](const Lent& self, const py::object&, const py::object& max_version, const py::object&,
             const py::object&) {
            return make_capsule(self.view, self.device, self.owner, max_version);
          },
          py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
          py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack_device__", [](const Lent&) { return py::make_tuple(int(dlpack::kCPU), 0); });
}

}  // namespace pyllm::bind
