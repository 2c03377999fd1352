// cuBLASLt, loaded when the first matrix product asks for it, and one product by it.
//
// Nothing of it is needed to build: the few types and numbers of its C interface that are used here
// are written down in cublaslt.cpp.
#pragma once

#include "bindings_cuda/arrays.h"

namespace pyllm::bind_cuda {

// What is applied to the product before it is stored. cuBLASLt's GELU is the one by tanh.
enum class Epilogue : int { none, bias, relu, relu_bias, gelu_tanh, gelu_tanh_bias };

// A stack of matrices: element (i, j) of matrix b is at b batch_stride + i row_stride +
// j column_stride.
struct Matrices {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0, columns = 0, row_stride = 0, column_stride = 1, batch_stride = 0;

  Matrices transposed() const {
    return {data, dtype, columns, rows, column_stride, row_stride, batch_stride};
  }
};

// c = epilogue(a b + bias) or, with `accumulate`, a b + c; with factors on the device, alpha a b +
// beta c. Of a and b one of the two strides is 1
// and the other at least the length along the first; c's columns lie next to one another. a and b
// are of one dtype, c of theirs or float32. Sums are float32.
struct Product {
  Matrices a, b, c;
  int64_t batch = 1;
  Epilogue epilogue = Epilogue::none;
  const void* bias = nullptr;  // (columns of c,), of its dtype
  bool accumulate = false;
  const float* alpha = nullptr;  // both or neither
  const float* beta = nullptr;
};

// Throws std::runtime_error if cuBLASLt is not installed (saying what to install) or fails.
void multiply(Call& call, const Product& product);

// Where it was loaded from, with its version; "no: " and why not.
std::string describe_cublaslt();

}  // namespace pyllm::bind_cuda
