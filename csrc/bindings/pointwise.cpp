#include "cpu/pointwise.h"

#include <array>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/named.h"

namespace pyllm::bind {
namespace {

constexpr std::array kUnary = {
    Named<Unary>{"negative", Unary::negative}, Named<Unary>{"absolute", Unary::absolute},
    Named<Unary>{"sqrt", Unary::sqrt},         Named<Unary>{"exp", Unary::exp},
    Named<Unary>{"log", Unary::log},           Named<Unary>{"tanh", Unary::tanh},
    Named<Unary>{"sigmoid", Unary::sigmoid}};
constexpr std::array kBinary = {
    Named<Binary>{"add", Binary::add},           Named<Binary>{"subtract", Binary::subtract},
    Named<Binary>{"multiply", Binary::multiply}, Named<Binary>{"divide", Binary::divide},
    Named<Binary>{"maximum", Binary::maximum},   Named<Binary>{"minimum", Binary::minimum}};

py::object unary(std::string_view op, py::handle x_object, py::handle out) {
  const Input x(x_object, "x");
  x.require_float();
  const Output y = output_like(x, out);
  require_no_overlap(y.view, x, true);
  const UnaryArgs args{find_op(kUnary, op), x.view(), y.view};
  run(x->size(), [&] { pointwise_unary(args); });
  return y.object;
}

py::object binary(std::string_view op, py::handle a_object, py::handle b_object, py::handle out) {
  const Input a(a_object, "a"), b(b_object, "b");
  a.require_float();
  b.require_same_dtype(a);
  const std::vector<int64_t> shape = broadcast_shape(a, b);
  const Output y = make_output(a, out, shape, a->dtype);
  BinaryArgs args{find_op(kBinary, op), broadcast(a, shape), broadcast(b, shape), y.view};
  require_no_overlap(y.view, a, a->size() == y.view.size());
  require_no_overlap(y.view, b, b->size() == y.view.size());
  run(y.view.size(), [&] { pointwise_binary(args); });
  return y.object;
}

}  // namespace

void bind_pointwise(py::module_& m) {
  m.def("pointwise_unary", &unary, py::arg("op"), py::arg("x"), py::arg("out") = py::none());
  m.def("pointwise_binary", &binary, py::arg("op"), py::arg("a"), py::arg("b"),
        py::arg("out") = py::none());
}

}  // namespace pyllm::bind
