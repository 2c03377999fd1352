# OpenBLAS from the scipy-openblas32 wheel: at build time in the build environment, at run time
# beside pyllm in site-packages, found by a relative RUNPATH.
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(
  COMMAND ${Python_EXECUTABLE} -c
    "import scipy_openblas32 as s; print(s.get_lib_dir(), s.get_library(), sep=';')"
  OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "pyllm builds against the wheel scipy-openblas32: pip install scipy-openblas32")
endif()
list(GET found 0 PYLLM_OPENBLAS_LIB_DIR)
list(GET found 1 library)
find_library(PYLLM_OPENBLAS_LIBRARY NAMES ${library} PATHS ${PYLLM_OPENBLAS_LIB_DIR}
             NO_DEFAULT_PATH NO_CACHE REQUIRED)

add_library(pyllm_openblas SHARED IMPORTED)
set_target_properties(pyllm_openblas PROPERTIES IMPORTED_LOCATION ${PYLLM_OPENBLAS_LIBRARY})

set(PYLLM_RUNPATH "$ORIGIN/../scipy_openblas32/lib")
