#include "cpu/activation.h"

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

Activation gelu_kind(const std::string& approximate) {
  if (approximate == "none") return Activation::gelu;
  if (approximate == "tanh") return Activation::gelu_tanh;
  throw py::value_error("approximate: expected 'none' or 'tanh', got '" + approximate + "'");
}

// A bias (n,) repeated over the leading axes of x.
class Bias {
 public:
  Bias(py::handle object, const char* name, const Input& x) : given_(optional_input(object, name)) {
    if (!given_) return;
    if (x->ndim == 0) throw py::value_error(std::string(name) + ": x has no axis to add it along");
    given_->require_same_dtype(x).require_shape({x->shape[x->ndim - 1]});
    view_ = x.view();
    view_.data = (*given_)->data;
    view_.strides.fill(0);
    view_.strides[x->ndim - 1] = (*given_)->strides[0];
  }
  const Array* view() const { return given_ ? &view_ : nullptr; }
  const Input& input() const { return *given_; }
  void require_apart(const Output& out) const {
    if (given_) require_no_overlap(out.view, *given_, false);
  }

 private:
  std::unique_ptr<Input> given_;
  Array view_;
};

py::object forward(Activation kind, py::handle x_object, py::handle bias_object, py::handle out) {
  const Input x(x_object, "x");
  x.require_float();
  const Bias bias(bias_object, "bias", x);
  const Output y = output_like(x, out);
  require_no_overlap(y.view, x, true);
  bias.require_apart(y);
  const ActivationArgs args{kind, x.view(), y.view, bias.view()};
  run(x->size(), [&] { activation_forward(args); });
  return y.object;
}

py::object backward(Activation kind, py::handle dy_object, py::handle x_object,
                    py::handle bias_object, py::handle out) {
  const Input x(x_object, "x"), dy(dy_object, "grad");
  x.require_float();
  dy.require_same_dtype(x).require_same_shape(x);
  const Bias bias(bias_object, "bias", x);
  const Output dx = output_like(x, out);
  require_no_overlap(dx.view, x, true);
  require_no_overlap(dx.view, dy, true);
  bias.require_apart(dx);
  Output dbias;
  ActivationBackwardArgs args{kind, dy.view(), x.view(), dx.view, bias.view(), nullptr};
  if (bias.view()) {
    dbias = make_output(bias.input(), bias.input().shape(), x->dtype);
    args.dbias = &dbias.view;
  }
  run(x->size(), [&] { activation_backward(args); });
  if (!bias.view()) return dx.object;
  return py::make_tuple(dx.object, dbias.object);
}

py::object glu(Activation kind, py::handle gate_object, py::handle up_object,
               py::handle gate_bias_object, py::handle up_bias_object, py::handle out) {
  const Input gate(gate_object, "gate"), up(up_object, "up");
  gate.require_float();
  up.require_same_dtype(gate).require_same_shape(gate);
  const Bias gate_bias(gate_bias_object, "gate_bias", gate);
  const Bias up_bias(up_bias_object, "up_bias", gate);
  const Output y = output_like(gate, out);
  require_no_overlap(y.view, gate, true);
  require_no_overlap(y.view, up, true);
  gate_bias.require_apart(y);
  up_bias.require_apart(y);
  const GluArgs args{kind, gate.view(), up.view(), y.view, gate_bias.view(), up_bias.view()};
  run(gate->size(), [&] { glu_forward(args); });
  return y.object;
}

py::object glu_gradients(Activation kind, py::handle dy_object, py::handle gate_object,
                         py::handle up_object, py::handle gate_bias_object,
                         py::handle up_bias_object, py::handle out) {
  const Input gate(gate_object, "gate"), up(up_object, "up"), dy(dy_object, "grad");
  gate.require_float();
  up.require_same_dtype(gate).require_same_shape(gate);
  dy.require_same_dtype(gate).require_same_shape(gate);
  const Bias gate_bias(gate_bias_object, "gate_bias", gate);
  const Bias up_bias(up_bias_object, "up_bias", gate);
  py::object dgate_out = py::none(), dup_out = py::none();
  if (!out.is_none()) {
    if (!py::isinstance<py::tuple>(out) || py::len(out) != 2) {
      throw py::type_error("out: expected a tuple of two arrays (dgate, dup), got " +
                           std::string(py::str(py::type::of(out).attr("__name__"))));
    }
    const auto pair = py::reinterpret_borrow<py::tuple>(out);
    dgate_out = pair[0], dup_out = pair[1];
  }
  const Output dgate = output_like(gate, dgate_out), dup = output_like(gate, dup_out);
  for (const Output* result : {&dgate, &dup}) {
    for (const Input* in : {&gate, &up, &dy}) require_no_overlap(result->view, *in, true);
    gate_bias.require_apart(*result);
    up_bias.require_apart(*result);
  }
  if (!out.is_none()) require_no_overlap(dgate.view, Input(dup.object, "out[1]"), false);
  GluBackwardArgs args{kind,     dy.view(),        gate.view(),    up.view(), dgate.view,
                       dup.view, gate_bias.view(), up_bias.view(), nullptr,   nullptr};
  Output dgate_bias, dup_bias;
  py::list results;
  results.append(dgate.object);
  results.append(dup.object);
  if (gate_bias.view()) {
    dgate_bias = make_output(gate_bias.input(), gate_bias.input().shape(), gate->dtype);
    args.dgate_bias = &dgate_bias.view;
    results.append(dgate_bias.object);
  }
  if (up_bias.view()) {
    dup_bias = make_output(up_bias.input(), up_bias.input().shape(), gate->dtype);
    args.dup_bias = &dup_bias.view;
    results.append(dup_bias.object);
  }
  run(gate->size(), [&] { glu_backward(args); });
  return py::tuple(results);
}

}  // namespace

void bind_activation(py::module_& m) {
  m.def("gelu", [](py::handle x, py::handle bias, const std::string& approximate, py::handle out) {
    return forward(gelu_kind(approximate), x, bias, out);
  });
  m.def("gelu_backward",
        [](py::handle dy, py::handle x, py::handle bias, const std::string& approximate,
           py::handle out) { return backward(gelu_kind(approximate), dy, x, bias, out); });
  const auto define = [&](const char* name, const char* backward_name, Activation kind) {
    m.def(name, [kind](py::handle x, py::handle bias, py::handle out) {
      return forward(kind, x, bias, out);
    });
    m.def(backward_name, [kind](py::handle dy, py::handle x, py::handle bias, py::handle out) {
      return backward(kind, dy, x, bias, out);
    });
  };
  define("silu", "silu_backward", Activation::silu);
  define("relu", "relu_backward", Activation::relu);
  m.def("swiglu",
        [](py::handle gate, py::handle up, py::handle gate_bias, py::handle up_bias,
           py::handle out) { return glu(Activation::silu, gate, up, gate_bias, up_bias, out); });
  m.def("swiglu_backward", [](py::handle dy, py::handle gate, py::handle up, py::handle gate_bias,
                              py::handle up_bias, py::handle out) {
    return glu_gradients(Activation::silu, dy, gate, up, gate_bias, up_bias, out);
  });
  m.def("geglu", [](py::handle gate, py::handle up, py::handle gate_bias, py::handle up_bias,
                    const std::string& approximate, py::handle out) {
    return glu(gelu_kind(approximate), gate, up, gate_bias, up_bias, out);
  });
  m.def("geglu_backward", [](py::handle dy, py::handle gate, py::handle up, py::handle gate_bias,
                             py::handle up_bias, const std::string& approximate, py::handle out) {
    return glu_gradients(gelu_kind(approximate), dy, gate, up, gate_bias, up_bias, out);
  });
}

}  // namespace pyllm::bind
