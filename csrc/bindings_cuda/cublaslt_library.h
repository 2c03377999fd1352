// The C interface of cuBLASLt as far as it is used here, from its documentation; numbers and
// layouts are fixed by its ABI, which versions 12 and 13 share.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace pyllm::bind_cuda::lt {

using Status = int;  // 0: success
using Handle = void*;
using Descriptor = void*;
using Layout = void*;
using Preference = void*;

enum DataType : int { kR32F = 0, kR16F = 2, kR16BF = 14 };
enum ComputeType : int { kCompute32F = 68 };
enum Operation : int32_t { kNormal = 0, kTransposed = 1 };
enum EpilogueBits : uint32_t { kDefault = 1, kRelu = 2, kBias = 4, kGelu = 32 };
enum DescriptorAttribute : int {
  kPointerMode = 2,
  kTransA = 3,
  kTransB = 4,
  kEpilogue = 7,
  kBiasPointer = 8
};
enum PointerMode : int32_t { kHostPointers = 0, kDevicePointers = 1 };
enum LayoutAttribute : int { kBatchCount = 5, kBatchStride = 6 };
enum PreferenceAttribute : int {
  kWorkspaceBytes = 1,
  kAlignmentA = 5,
  kAlignmentB = 6,
  kAlignmentC = 7,
  kAlignmentD = 8
};

struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

struct Library {
  size_t (*get_version)();
  const char* (*status_string)(Status);
  Status (*create)(Handle*);
  Status (*descriptor_create)(Descriptor*, int compute, int scale);
  Status (*descriptor_set)(Descriptor, int attribute, const void* value, size_t bytes);
  Status (*descriptor_destroy)(Descriptor);
  Status (*layout_create)(Layout*, int type, uint64_t rows, uint64_t columns, int64_t leading);
  Status (*layout_set)(Layout, int attribute, const void* value, size_t bytes);
  Status (*layout_destroy)(Layout);
  Status (*preference_create)(Preference*);
  Status (*preference_set)(Preference, int attribute, const void* value, size_t bytes);
  Status (*preference_destroy)(Preference);
  Status (*heuristic)(Handle, Descriptor, Layout a, Layout b, Layout c, Layout d, Preference,
                      int requested, Heuristic* results, int* returned);
  Status (*matmul)(Handle, Descriptor, const void* alpha, const void* a, Layout, const void* b,
                   Layout, const void* beta, const void* c, Layout, void* d, Layout,
                   const Algorithm*, void* workspace, size_t workspace_bytes, cudaStream_t);
  std::string path;
};

// Loaded on first use, from $PYLLM_CUBLASLT, the system, or the packages nvidia-cublas and torch.
// Throws std::runtime_error that says what to install.
const Library& library();

// Throws std::runtime_error with cuBLASLt's own words.
void check(Status status, const char* doing);

}  // namespace pyllm::bind_cuda::lt
