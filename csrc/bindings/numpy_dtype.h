// NumPy's dtypes and ours.
#pragma once

#include <pybind11/numpy.h>

#include "core/dtype.h"

namespace pyllm::bind {

namespace py = pybind11;

// False if NumPy's type of this number is none of ours.
bool dtype_of_number(int number, DType& dtype);

const py::dtype& numpy_dtype(DType dtype);

}  // namespace pyllm::bind
