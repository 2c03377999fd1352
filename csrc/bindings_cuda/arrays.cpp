#include "bindings_cuda/arrays.h"

#include "bindings/dlpack_capsule.h"
#include "bindings/framework.h"
#include "bindings/numpy_dtype.h"
#include "copy.h"
#include "dtype.h"

extern "C" cudaError_t pyllm_cuda_strided_copy(const StridedCopy* args, cudaStream_t stream);

namespace pyllm::bind_cuda {
namespace {

using bind::fail_type;
using bind::fail_value;
using bind::type_name;

bool is_cuda(int32_t dlpack_type) {
  return dlpack_type == dlpack::kCUDA || dlpack_type == dlpack::kCUDAManaged;
}

std::string package_of(py::handle object) {
  const std::string module = py::str(py::type::of(object).attr("__module__"));
  return module.substr(0, module.find('.'));
}

Stream numbered(intptr_t number, int device) {
  return {number == 0 ? kLegacyStream : number, device};
}

struct Place {
  Stream stream;
  bool stream_is_known;
};

Place place_of_interface(const py::dict& interface, const char* name) {
  const auto address = py::cast<py::tuple>(interface["data"])[0].cast<uintptr_t>();
  cudaPointerAttributes attributes{};
  check(cudaPointerGetAttributes(&attributes, reinterpret_cast<const void*>(address)),
        "asking where an array is");
  if (attributes.type != cudaMemoryTypeDevice && attributes.type != cudaMemoryTypeManaged) {
    fail_value(name, "its __cuda_array_interface__ points outside device memory");
  }
  const py::object stream =
      interface.contains("stream") ? py::object(interface["stream"]) : py::object(py::none());
  if (stream.is_none()) return {{kLegacyStream, attributes.device}, false};
  return {numbered(stream.cast<intptr_t>(), attributes.device), true};
}

// Where an array is, and the stream its framework works on.
Place place_of(py::handle object, const char* name) {
  if (py::isinstance<DeviceArray>(object)) return {object.cast<const DeviceArray&>().stream, true};
  if (py::hasattr(object, "__dlpack_device__")) {
    const auto pair = object.attr("__dlpack_device__")().cast<py::tuple>();
    const int device = pair[1].cast<int>();
    if (!is_cuda(pair[0].cast<int32_t>())) fail_value(name, "expected an array on a CUDA device");
    const std::string package = package_of(object);
    if (package == "torch") {
      const auto torch = py::module_::import("torch");
      const auto stream = torch.attr("cuda").attr("current_stream")(device).attr("cuda_stream");
      return {numbered(stream.cast<intptr_t>(), device), true};
    }
    if (package == "cupy") {
      const auto cupy = py::module_::import("cupy");
      const auto stream = cupy.attr("cuda").attr("get_current_stream")(device).attr("ptr");
      return {numbered(stream.cast<intptr_t>(), device), true};
    }
    return {{kLegacyStream, device}, false};
  }
  if (py::hasattr(object, "__cuda_array_interface__")) {
    return place_of_interface(object.attr("__cuda_array_interface__"), name);
  }
  fail_type(name, "expected an array on a CUDA device, got " + type_name(object));
}

void require_same_device(int device, const Call& call, const char* name) {
  if (device == call.device()) return;
  fail_value(name, "expected an array on CUDA device " + std::to_string(call.device()) +
                       ", as the other arguments, got one on CUDA device " +
                       std::to_string(device));
}

}  // namespace

Call::Call(py::handle first, const char* name) {
  if (device_count() == 0) check(cudaErrorInsufficientDriver, "looking for a device");
  const Place place = place_of(first, name);
  stream_ = place.stream;
  stream_is_known_ = place.stream_is_known;
  require_on_device(stream_, name);
  guard_ = std::make_unique<DeviceGuard>(stream_.device);
}

void* Call::workspace(size_t bytes) {
  memory_.push_back(allocate(bytes, stream_));
  return memory_.back().get();
}

namespace {

StridedCopy copy_arguments(const Array& from, const Array& to, const Array* mask) {
  StridedCopy args{};
  args.from = from.data;
  args.to = to.data;
  args.mask = mask != nullptr ? mask->data : nullptr;
  args.ndim = from.ndim;
  args.item = static_cast<int32_t>(size_of(from.dtype));
  for (int i = 0; i < from.ndim; ++i) {
    args.shape[i] = from.shape[i];
    args.from_strides[i] = from.strides[i];
    args.to_strides[i] = to.strides[i];
    if (mask != nullptr) args.mask_strides[i] = mask->strides[i];
  }
  return args;
}

}  // namespace

void Call::copy(const Array& from, const Array& to, const Array* mask, uint64_t fill) {
  StridedCopy args = copy_arguments(from, to, mask);
  args.fill = fill;
  launch(&pyllm_cuda_strided_copy, args);
}

void Call::copy_where(const Array& from, const Array& to, const Array& mask) {
  StridedCopy args = copy_arguments(from, to, &mask);
  args.keep = true;
  launch(&pyllm_cuda_strided_copy, args);
}

void Call::fill(const Array& to, uint64_t bits) {
  Array nothing = to;
  nothing.data = nullptr;
  copy(nothing, to, nullptr, bits);
}

void Call::finish() {
  for (const Stream& other : others_) wait(other, stream_);
  if (stream_is_known_) return;
  cudaError_t error;
  {
    const py::gil_scoped_release release;
    error = cudaStreamSynchronize(stream_.handle());
  }
  check(error, "waiting for a kernel");
}

Input::Input(const Call& call, py::handle object, const char* name)
    : Argument(name), object_(py::reinterpret_borrow<py::object>(object)), stream_(call.stream()) {
  if (py::isinstance<DeviceArray>(object)) {
    read_own(call, object.cast<const DeviceArray&>());
  } else if (py::hasattr(object, "__dlpack__")) {
    read_dlpack(call);
  } else if (py::hasattr(object, "__cuda_array_interface__")) {
    read_interface(call);
  } else {
    fail_type(name, "expected an array on CUDA device " + std::to_string(call.device()) +
                        ", as the other arguments, got " + type_name(object));
  }
}

void Input::read_own(const Call& call, const DeviceArray& array) {
  require_same_device(array.stream.device, call, name_);
  wait(call.stream(), array.stream);
  if (!(array.stream == call.stream())) const_cast<Call&>(call).others_.push_back(array.stream);
  view_ = array.view;
  managed_ = array.owner;
  writable_ = array.writable;
}

void Input::read_dlpack(const Call& call) {
  if (py::hasattr(object_, "__dlpack_device__")) {
    const auto pair = object_.attr("__dlpack_device__")().cast<py::tuple>();
    if (!is_cuda(pair[0].cast<int32_t>())) {
      fail_value(name_, "expected an array on CUDA device " + std::to_string(call.device()) +
                            ", as the other arguments, got one on the CPU or another kind of "
                            "device (" +
                            type_name(object_) + ")");
    }
    require_same_device(pair[1].cast<int>(), call, name_);
  }
  bind::ImportedTensor imported =
      bind::import_dlpack(object_, name_, py::int_(call.stream().number));
  require_same_device(imported.device.id, call, name_);
  view_ = imported.view;
  writable_ = imported.writable && !bind::immutable_by_contract(object_);
  managed_ = std::move(imported.managed);
}

void Input::read_interface(const Call& call) {
  const py::dict interface = object_.attr("__cuda_array_interface__");
  if (interface.contains("mask") && !interface["mask"].is_none()) {
    fail_type(name_, "masked arrays are not supported");
  }
  const auto dtype = py::dtype::from_args(interface["typestr"]);
  if (!bind::dtype_of_number(dtype.num(), view_.dtype) || dtype.byteorder() == '>') {
    fail_type(name_, "dtype " + std::string(py::str(dtype)) + " is not supported");
  }
  const auto shape = interface["shape"].cast<py::tuple>();
  if (shape.size() > kMaxDims) fail_value(name_, "at most 8 axes are supported");
  view_.ndim = static_cast<int>(shape.size());
  for (int i = 0; i < view_.ndim; ++i) view_.shape[i] = shape[i].cast<int64_t>();
  bind::contiguous_strides(view_);
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    const auto strides = interface["strides"].cast<py::tuple>();
    const auto item = static_cast<int64_t>(size_of(view_.dtype));
    for (int i = 0; i < view_.ndim; ++i) {
      const auto bytes = strides[i].cast<int64_t>();
      if (bytes % item != 0) fail_value(name_, "strides must be multiples of the element size");
      view_.strides[i] = bytes / item;
    }
  }
  const auto data = interface["data"].cast<py::tuple>();
  view_.data = reinterpret_cast<void*>(data[0].cast<uintptr_t>());
  writable_ = !data[1].cast<bool>();
  if (view_.size() == 0) return;
  const Place place = place_of_interface(interface, name_);
  require_same_device(place.stream.device, call, name_);
  wait(call.stream(), place.stream);
  if (!(place.stream == call.stream())) const_cast<Call&>(call).others_.push_back(place.stream);
}

DeviceArray Input::as_device_array() const {
  const py::object keep = object_;
  std::shared_ptr<void> owner = managed_;
  if (!owner) {
    owner = std::shared_ptr<void>(new py::object(keep), [](void* held) {
      const py::gil_scoped_acquire gil;
      delete static_cast<py::object*>(held);
    });
  }
  return {view_, owner, stream_, writable_};
}

std::unique_ptr<Input> optional_input(const Call& call, py::handle object, const char* name) {
  return object.is_none() ? nullptr : std::make_unique<Input>(call, object, name);
}

const Argument& require_kernel_float(const Argument& x) {
  if (x->dtype == DType::f64) {
    fail_type(x.name(),
              "the CUDA kernels take float32, bfloat16 and float16; float64 is computed "
              "on the CPU only");
  }
  return x.require_float();
}

int32_t code_of(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return cuda::kFloat16;
    case DType::bf16:
      return cuda::kBFloat16;
    default:
      return cuda::kFloat32;
  }
}

Output::Output(Call& call, const Input& like, std::span<const int64_t> shape, DType dtype)
    : made_(make_array(shape, dtype, call.stream())),
      like_(py::reinterpret_borrow<py::object>(like.object())) {
  view_ = made_.view;
}

Output::Output(Call& call, const Input& like, py::handle out, std::span<const int64_t> shape,
               DType dtype, const char* name) {
  if (out.is_none()) {
    *this = Output(call, like, shape, dtype);
    return;
  }
  const Input given(call, out, name);
  given.require_dtype({dtype}).require_shape(shape).require_writable();
  view_ = given.view();
  given_ = py::reinterpret_borrow<py::object>(out);
}

py::object Output::object() const {
  if (given_) return given_;
  if (!like_) return py::none();
  py::object mine = py::cast(made_);
  if (py::isinstance<DeviceArray>(like_)) return mine;
  const py::object from_dlpack = bind::find_from_dlpack(like_);
  return from_dlpack.is_none() ? mine : from_dlpack(mine);
}

DeviceArray contiguous_copy(const DeviceArray& a) {
  const py::object object = py::cast(a);
  Call call(object, "array");
  DeviceArray packed =
      make_array({a.view.shape.data(), static_cast<size_t>(a.view.ndim)}, a.view.dtype, a.stream);
  call.copy(a.view, packed.view);
  return packed;
}

}  // namespace pyllm::bind_cuda
