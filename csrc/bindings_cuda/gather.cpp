// Rows of a table by number, which indexing by arrays comes down to.
#include <array>

#include "bindings_cuda/arrays.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"

namespace pyllm::bind_cuda {
namespace {

RowsByNumber arguments(const Input& table, const Input& numbers) {
  table.require_ndim(2).require_contiguous();
  numbers.require_dtype({DType::i64}).require_ndim(1).require_contiguous();
  RowsByNumber args{};
  args.numbers = numbers->as<int64_t>();
  args.rows = numbers->size(), args.entries = table.shape(0), args.width = table.shape(1);
  args.item = static_cast<int32_t>(size_of(table->dtype));
  return args;
}

// table[numbers]; a number out of range gives zeros.
py::object gather(py::handle table_object, py::handle numbers_object) {
  Call call(table_object, "table");
  const Input table(call, table_object, "table"), numbers(call, numbers_object, "numbers");
  RowsByNumber args = arguments(table, numbers);
  const Output made(call, table, std::array{args.rows, args.width}, table->dtype);
  args.from = table->data, args.to = made.view().data;
  call.launch(&pyllm_cuda_rows_by_number, args);
  call.finish();
  return made.object();
}

// table[numbers] = values, for numbers of which none repeats; one out of range counts for nothing.
void scatter(py::handle table_object, py::handle numbers_object, py::handle values_object) {
  Call call(table_object, "table");
  const Input table(call, table_object, "table"), numbers(call, numbers_object, "numbers");
  const Input values(call, values_object, "values");
  RowsByNumber args = arguments(table, numbers);
  table.require_writable();
  values.require_same_dtype(table).require_shape({args.rows, args.width}).require_contiguous();
  bind::require_no_overlap(table.view(), values, false);
  args.from = values->data, args.to = table->data, args.scatter = true;
  call.launch(&pyllm_cuda_rows_by_number, args);
  call.finish();
}

}  // namespace

void bind_gather(py::module_& m) {
  m.def("gather_rows", &gather, py::arg("table"), py::arg("numbers"));
  m.def("scatter_rows", &scatter, py::arg("table"), py::arg("numbers"), py::arg("values"));
}

}  // namespace pyllm::bind_cuda
