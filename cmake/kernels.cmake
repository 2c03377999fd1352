# CPU kernels: every csrc/cpu source that is one (it names PYLLM_ISA) is compiled once per
# instruction set, with PYLLM_ISA defined to the set's name; the others once, for the baseline.
# Never -march=native: what is built here must run elsewhere. Never -ffast-math: NaN and inf count.

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" processor)
if(processor MATCHES "x86_64|amd64")
  set(PYLLM_X86 ON)
else()
  set(PYLLM_X86 OFF)
endif()

# GCC 12 warns about its own AVX-512 header.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(PYLLM_QUIET -Wno-maybe-uninitialized -Wno-uninitialized)
endif()

set(PYLLM_FLAGS_baseline "")
set(PYLLM_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(PYLLM_FLAGS_avx512 ${PYLLM_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl
                       -mprefer-vector-width=512)

function(pyllm_add_kernels target)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/csrc/cpu/*.cpp)
  set(kernels)
  set(plain)
  foreach(source IN LISTS sources)
    file(STRINGS ${source} per_isa REGEX "namespace pyllm.*::PYLLM_ISA" LIMIT_COUNT 1)
    if(per_isa)
      list(APPEND kernels ${source})
    else()
      list(APPEND plain ${source})
    endif()
  endforeach()

  # Trees are the same bits on every instruction set: none may fuse a product and a sum.
  set(exact ${sources})
  list(FILTER exact INCLUDE REGEX "/csrc/cpu/trees/")
  set_source_files_properties(${exact} PROPERTIES COMPILE_OPTIONS -ffp-contract=off)

  # Under a sanitizer compile time counts more than speed.
  set(optimise -O3)
  if(PYLLM_SANITIZE)
    set(optimise -O1)
  endif()
  set(isas baseline)
  if(PYLLM_X86)
    list(APPEND isas avx2 avx512)
  endif()
  foreach(isa IN LISTS isas)
    add_library(pyllm_kernels_${isa} OBJECT ${kernels})
    if(isa STREQUAL "baseline")
      target_sources(pyllm_kernels_${isa} PRIVATE ${plain})
    endif()
    target_link_libraries(pyllm_kernels_${isa} PRIVATE pyllm_core pyllm_openblas)
    target_compile_definitions(pyllm_kernels_${isa} PRIVATE PYLLM_ISA=${isa})
    target_compile_options(pyllm_kernels_${isa} PRIVATE
      ${optimise} -Wall -Wextra -Wno-psabi ${PYLLM_QUIET} -ffp-contract=fast -fno-math-errno -fno-trapping-math
      ${PYLLM_FLAGS_${isa}})
    # An interface library passes on the objects, in this order.
    target_sources(${target} INTERFACE $<TARGET_OBJECTS:pyllm_kernels_${isa}>)
  endforeach()
endfunction()
