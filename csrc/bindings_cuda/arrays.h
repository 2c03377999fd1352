// Between Python's arrays and what launchers take: device, stream, views, outputs, workspaces.
//
// A Call takes device and stream from the op's first array: the stream that its framework is
// working on (torch, CuPy), or the one its array was made on. Every other array must be on the same
// device; its framework is told our stream through __dlpack__(stream=), so that what it has queued
// comes first. Where a framework does not say which stream it uses (JAX), the call waits for its
// kernels before it returns, since nothing else keeps the arrays from being reused too early.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "bindings/argument.h"
#include "bindings_cuda/device.h"
#include "bindings_cuda/device_array.h"

namespace pyllm::bind_cuda {

using bind::Argument;

class Call {
 public:
  // `first` names device and stream; it need not be an input.
  Call(py::handle first, const char* name);
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  int device() const { return stream_.device; }
  const Stream& stream() const { return stream_; }

  // Memory for the length of the call, in stream order.
  void* workspace(size_t bytes);
  template <class T>
  T* workspace_of(int64_t count) {
    return static_cast<T*>(workspace(static_cast<size_t>(count) * sizeof(T)));
  }

  // Runs launcher(&args, stream) with the GIL released.
  template <class Args>
  void launch(cudaError_t (*launcher)(const Args*, cudaStream_t), const Args& args) {
    run([&](cudaStream_t stream) { return launcher(&args, stream); });
  }
  template <class F>
  void run(F&& f) {
    cudaError_t error;
    {
      const py::gil_scoped_release release;
      error = f(stream_.handle());
    }
    check(error, "launching a kernel");
  }
  // to = from, any strides; `fill` where the mask is false.
  void copy(const Array& from, const Array& to, const Array* mask = nullptr, uint64_t fill = 0);

  // The same where the mask holds; elsewhere `to` stays as it is.
  void copy_where(const Array& from, const Array& to, const Array& mask);

  void fill(const Array& to, uint64_t bits);

  // Other streams wait for this one, or the host does. Called once all is launched.
  void finish();

 private:
  friend class Input;

  Stream stream_;
  std::unique_ptr<DeviceGuard> guard_;
  std::vector<Stream> others_;
  std::vector<std::shared_ptr<void>> memory_;
  bool stream_is_known_ = true;
};

// An array on the call's device.
class Input : public Argument {
 public:
  Input(const Call& call, py::handle object, const char* name);

  DeviceArray as_device_array() const;
  py::handle object() const { return object_; }

 private:
  void read_own(const Call& call, const DeviceArray& array);
  void read_dlpack(const Call& call);
  void read_interface(const Call& call);

  py::object object_;
  std::shared_ptr<void> managed_;
  Stream stream_;
};

std::unique_ptr<Input> optional_input(const Call& call, py::handle object, const char* name);

// float32, bfloat16 or float16: what the kernels take.
const Argument& require_kernel_float(const Argument& x);
// The code that launchers have for a dtype.
int32_t code_of(DType dtype);

// A fresh array or the caller's `out`, checked. Give it to Python after the kernels are launched.
class Output {
 public:
  Output() = default;
  Output(Call& call, const Input& like, std::span<const int64_t> shape, DType dtype);
  Output(Call& call, const Input& like, py::handle out, std::span<const int64_t> shape, DType dtype,
         const char* name = "out");
  static Output like(Call& call, const Input& x, py::handle out = py::none(),
                     const char* name = "out") {
    return Output(call, x, out, x.shape(), x->dtype, name);
  }

  const Array& view() const { return view_; }
  // In the framework of `like`; the caller's `out` itself where there was one.
  py::object object() const;

 private:
  Array view_;
  DeviceArray made_;
  py::object given_, like_;
};

// A contiguous copy on the array's own stream.
DeviceArray contiguous_copy(const DeviceArray& a);

}  // namespace pyllm::bind_cuda
