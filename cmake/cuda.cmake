# pyllm._cuda: the kernels of kernels/cuda and their bindings, where nvcc is found. The CUDA runtime
# is linked in, the driver is not: the module loads without one.

set(PYLLM_CUDA AUTO CACHE STRING "Build pyllm._cuda: AUTO (where nvcc is found), ON or OFF")
set_property(CACHE PYLLM_CUDA PROPERTY STRINGS AUTO ON OFF)

option(PYLLM_TRITON_AOT "Compile Triton kernels into pyllm._cuda; needs triton while building" OFF)

if(PYLLM_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake before 3.26 with an nvcc that is newer
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
    endif()
    find_package(CUDAToolkit REQUIRED)
    # Machine code for A100 and H100, and PTX that the driver compiles for others: for what comes
    # after H100, and for the newest generation, where nvcc knows it.
    set(architectures 80-real 90-real 90-virtual)
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.8)
      list(APPEND architectures 120-virtual)
    endif()
    set(PYLLM_CUDA_ARCHITECTURES "${architectures}" CACHE STRING "Targets of pyllm._cuda")
  elseif(NOT PYLLM_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "PYLLM_CUDA=${PYLLM_CUDA}, but nvcc was not found. Put it on PATH, or set "
                        "CUDACXX to it; PYLLM_CUDA=AUTO builds without.")
  endif()
endif()

# The list of sources of that name with the Triton kernels of kernels/triton/embedded in place of no such kernels.
function(pyllm_embed_triton list_name)
  set(out ${CMAKE_BINARY_DIR}/triton)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS kernels/triton/*.py)
  add_custom_command(
    OUTPUT ${out}/embedded_table.cpp ${out}/embedded.bin
    COMMAND ${Python_EXECUTABLE} ${CMAKE_SOURCE_DIR}/scripts/embed_triton.py ${out}
    DEPENDS ${sources} ${CMAKE_SOURCE_DIR}/scripts/embed_triton.py
    COMMENT "Compiling Triton kernels" USES_TERMINAL VERBATIM)
  set_source_files_properties(${out}/embedded_table.cpp PROPERTIES OBJECT_DEPENDS ${out}/embedded.bin)
  set(changed ${${list_name}} ${out}/embedded_table.cpp)
  list(FILTER changed EXCLUDE REGEX "embedded_none[.]cpp$")
  set(${list_name} ${changed} PARENT_SCOPE)
endfunction()

# Defines the module; nothing where CUDA is not built.
function(pyllm_add_cuda)
  if(NOT CMAKE_CUDA_COMPILER)
    if(PYLLM_TRITON_AOT)
      message(FATAL_ERROR "PYLLM_TRITON_AOT=ON adds kernels to pyllm._cuda, which needs nvcc.")
    endif()
    return()
  endif()
  file(GLOB kernels CONFIGURE_DEPENDS kernels/cuda/*.cu)
  file(GLOB bindings CONFIGURE_DEPENDS csrc/bindings_cuda/*.cpp)
  foreach(shared argument attention_arrays attention_scalars dlpack_capsule framework matmul_views
          numpy_dtype tree_growth)
    list(APPEND bindings csrc/bindings/${shared}.cpp)
  endforeach()
  foreach(shared feature_choice node_sums sampling)
    list(APPEND bindings csrc/cpu/trees/${shared}.cpp)
  endforeach()
  if(PYLLM_TRITON_AOT)
    pyllm_embed_triton(bindings)
  endif()

  add_library(pyllm_cuda_kernels STATIC ${kernels})
  set_target_properties(pyllm_cuda_kernels PROPERTIES
    CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_ARCHITECTURES "${PYLLM_CUDA_ARCHITECTURES}")
  target_compile_options(pyllm_cuda_kernels PRIVATE -Xfatbin=-compress-all)

  pybind11_add_module(_cuda MODULE ${bindings})
  target_include_directories(_cuda PRIVATE csrc kernels/cuda)
  # Trees are the same bits as on the CPU: no product may be fused with a sum.
  target_compile_options(_cuda PRIVATE -Wall -Wextra -ffp-contract=off)
  target_link_libraries(_cuda PRIVATE pyllm_cuda_kernels CUDA::cudart_static ${CMAKE_DL_LIBS})
  install(TARGETS _cuda DESTINATION pyllm)
  if(PYLLM_DEV)
    set_target_properties(_cuda PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_SOURCE_DIR}/pyllm)
  endif()
endfunction()
