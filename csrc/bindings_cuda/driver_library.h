// The C interface of the CUDA driver as far as it is used here, from its documentation. Loaded at
// run time, so that the module works where there is none.
#pragma once

#include <string>

namespace pyllm::bind_cuda::driver {

using Status = int;  // 0: success
using Context = void*;
using Module = void*;
using Function = void*;

enum DeviceAttribute : int { kMajor = 75, kMinor = 76, kSharedBytesOnRequest = 97 };
enum FunctionAttribute : int { kDynamicSharedBytes = 8 };

struct Library {
  Status (*error_string)(Status, const char**);
  Status (*current_context)(Context*);
  Status (*current_device)(int*);
  Status (*device_attribute)(int*, int attribute, int device);
  Status (*module_load)(Module*, const void* image);
  Status (*module_unload)(Module);
  Status (*module_function)(Function*, Module, const char* name);
  Status (*function_set)(Function, int attribute, int value);
  Status (*launch)(Function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared, void* stream,
                   void** parameters, void** extra);
  std::string path;
};

// Loaded on first use: $PYLLM_CUDA_DRIVER, or libcuda.so.1. Throws std::runtime_error.
const Library& library();

// Throws std::runtime_error with the driver's own words.
void check(Status status, const std::string& doing);

}  // namespace pyllm::bind_cuda::driver
