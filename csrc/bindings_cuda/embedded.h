// Launches embedded Triton kernels: the first one in the table whose assumptions the arguments
// meet.
//
// Triton compiles assumptions in: element types, options, integers that are 1, addresses and
// strides that are multiples of 16. A launcher names all arguments of the Python function; where no
// kernel of the table suits them, or the device has too little shared memory for it, the CUDA
// kernel of the same op takes over. pyllm._cuda.triton has the functions that try Triton first.
#pragma once

#include <string_view>
#include <vector>

#include "bindings_cuda/arrays.h"
#include "bindings_cuda/embedded_table.h"
#include "bindings_cuda/launchers.h"

namespace pyllm::bind_cuda::embedded {

// Values by the names that the Python function gives them. Constants of the configuration
// (ELEMENTS, BLOCK_M) may stay unnamed: then any suits.
class Arguments {
 public:
  Arguments& pointer(const char* name, const void* p, const char* element);  // null: None
  Arguments& integer(const char* name, int64_t value);
  Arguments& number(const char* name, double value);
  Arguments& word(const char* name, const char* text);

 private:
  friend class Launch;
  struct Value {
    std::string_view name;
    Kind kind;
    std::string_view text;
    const void* address = nullptr;
    int64_t integer = 0;
    float number = 0;
  };
  const Value* find(std::string_view name) const;
  bool meet(const Parameter& parameter) const;

  std::vector<Value> values_;
};

// A kernel that suits the arguments and the current device, if there is one.
class Launch {
 public:
  // Throws std::runtime_error where nothing was compiled for the device.
  Launch(const char* function, const Arguments& arguments);

  explicit operator bool() const { return kernel_ != nullptr; }
  int64_t constant(std::string_view name) const;
  // Queues it. Throws std::runtime_error with what the driver says.
  void operator()(int64_t grid_x, cudaStream_t stream, int64_t grid_y = 1,
                  int64_t grid_z = 1) const;

 private:
  const Arguments& arguments_;
  const Kernel* kernel_ = nullptr;
  const Image* image_ = nullptr;
};

// "fp32", "fp16" or "bf16" for a launcher's dtype code.
const char* element(int32_t dtype);

inline int64_t blocks(int64_t n, int64_t each) {
  return (n + each - 1) / each;
}

// Whether this thread is inside a function of pyllm._cuda.triton.
bool preferred();

// The Triton kernel where those were asked for and one suits, else the CUDA kernel.
template <class Args>
void launch(Call& call, bool (*triton)(const Args&, cudaStream_t),
            cudaError_t (*cuda)(const Args*, cudaStream_t), const Args& args) {
  if (preferred()) {
    const py::gil_scoped_release release;
    if (triton(args, call.stream().handle())) return;
  }
  call.launch(cuda, args);
}

// Queue a kernel and return true, or return false where none suits.
bool softmax_forward(const ::SoftmaxForward&, cudaStream_t);
bool softmax_backward(const ::SoftmaxBackward&, cudaStream_t);
bool norm_forward(const ::NormForward&, cudaStream_t);
bool norm_backward(const ::NormBackward&, cudaStream_t);
bool activation_forward(const ::ActivationForward&, cudaStream_t);
bool activation_backward(const ::ActivationBackward&, cudaStream_t);
bool glu_forward(const ::GluForward&, cudaStream_t);
bool glu_backward(const ::GluBackward&, cudaStream_t);
bool dropout(const ::Dropout&, cudaStream_t);
bool rotary(const ::Rotary&, cudaStream_t);
bool cross_entropy_forward(const ::CrossEntropyForward&, cudaStream_t);
bool cross_entropy_backward(const ::CrossEntropyBackward&, cudaStream_t);
// Rows [begin, begin + rows) of the losses, their logits in the workspace; lse is scratch for them.
bool linear_cross_entropy_chunk(const ::LinearCrossEntropy&, int64_t begin, int64_t rows,
                                float* lse, cudaStream_t);
bool attention_forward(const ::Attention&, cudaStream_t);
bool attention_backward(const ::AttentionBackward&, cudaStream_t);
bool adamw_step(const ::AdamWStep&, cudaStream_t);
bool sgd_step(const ::SgdStep&, cudaStream_t);
bool lion_step(const ::LionStep&, cudaStream_t);

// Gradient histograms, which only Triton has as a function of their own: the CUDA kernels for them
// are parts of the tree engine.
void bind_histogram(py::module_& m);
// pyllm._cuda.triton, once all functions of the module are bound.
void bind_embedded(py::module_& m);

}  // namespace pyllm::bind_cuda::embedded
