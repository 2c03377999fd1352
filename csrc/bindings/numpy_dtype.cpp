#include "bindings/numpy_dtype.h"

#include <unordered_map>

namespace pyllm::bind {
namespace {

// NumPy's number for ml_dtypes.bfloat16, known once ml_dtypes has been imported.
int bfloat16_number() {
  static const int number = [] {
    const auto type = py::module_::import("ml_dtypes").attr("bfloat16");
    return py::dtype::from_args(type).num();
  }();
  return number;
}

}  // namespace

// NumPy numbers C types; on LP64 both int64 spellings (long, long long) occur.
bool dtype_of_number(int number, DType& dtype) {
  using py::detail::npy_api;
  switch (number) {
    case npy_api::NPY_BOOL_:
      dtype = DType::boolean;
      return true;
    case npy_api::NPY_BYTE_:
      dtype = DType::i8;
      return true;
    case npy_api::NPY_UBYTE_:
      dtype = DType::u8;
      return true;
    case npy_api::NPY_SHORT_:
      dtype = DType::i16;
      return true;
    case npy_api::NPY_USHORT_:
      dtype = DType::u16;
      return true;
    case npy_api::NPY_INT_:
      dtype = DType::i32;
      return true;
    case npy_api::NPY_UINT_:
      dtype = DType::u32;
      return true;
    case npy_api::NPY_LONG_:
    case npy_api::NPY_LONGLONG_:
      dtype = DType::i64;
      return true;
    case npy_api::NPY_ULONG_:
    case npy_api::NPY_ULONGLONG_:
      dtype = DType::u64;
      return true;
    case npy_api::NPY_FLOAT_:
      dtype = DType::f32;
      return true;
    case npy_api::NPY_DOUBLE_:
      dtype = DType::f64;
      return true;
    case 23:  // NPY_HALF
      dtype = DType::f16;
      return true;
    default:
      dtype = DType::bf16;
      return number == bfloat16_number();
  }
}

const py::dtype& numpy_dtype(DType dtype) {
  static const auto* table = [] {
    auto* t = new std::unordered_map<DType, py::dtype>;
    for (const DType d :
         {DType::f32, DType::f64, DType::f16, DType::i8, DType::i16, DType::i32, DType::i64,
          DType::u8, DType::u16, DType::u32, DType::u64, DType::boolean}) {
      t->emplace(d, py::dtype(name_of(d)));
    }
    t->emplace(DType::bf16,
               py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16")));
    return t;
  }();
  return table->at(dtype);
}

}  // namespace pyllm::bind
