// The Triton kernels that a build with PYLLM_TRITON_AOT holds; scripts/embed_triton.py writes the
// table, embedded_none.cpp is an empty one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pyllm::bind_cuda::embedded {

// What became of an argument of the Python function. From `pointer` on they reach the machine code.
enum class Kind : uint8_t {
  absent,
  constant,
  word,
  pointer,
  int32,
  int64,
  uint32,
  uint64,
  float32
};

struct Parameter {
  const char* name;
  Kind kind;
  bool divisible;    // the code relies on a multiple of 16
  const char* text;  // what a pointer points at ("fp32"), or the word
  int64_t value;     // of a constant
};

// Machine code for compute capability major * 10 + minor, of one function.
struct Image {
  int capability;
  const void* code;
  uint32_t shared, threads;
};

struct Kernel {
  const char* function;
  std::span<const Parameter> parameters;
  std::span<const Image> images;
};

std::span<const Kernel> kernels();

}  // namespace pyllm::bind_cuda::embedded
