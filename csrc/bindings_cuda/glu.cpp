#include "bindings_cuda/activation_arguments.h"
#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"

namespace pyllm::bind_cuda {
namespace {

using bind::require_no_overlap;

py::object glu(int32_t kind, py::handle gate_object, py::handle up_object,
               py::handle gate_bias_object, py::handle up_bias_object, py::handle out) {
  Call call(gate_object, "gate");
  const Input gate(call, gate_object, "gate"), up(call, up_object, "up");
  require_kernel_float(gate);
  up.require_same_dtype(gate).require_same_shape(gate);
  const Bias gate_bias(call, gate_bias_object, "gate_bias", gate);
  const Bias up_bias(call, up_bias_object, "up_bias", gate);
  const Output y = Output::like(call, gate, out);
  require_no_overlap(y.view(), gate, true);
  require_no_overlap(y.view(), up, true);
  gate_bias.require_apart(y);
  up_bias.require_apart(y);
  const Rows gates = read_rows(call, gate.view()), ups = read_rows(call, up.view());
  const RowsToWrite to(call, y.view());
  GluForward args{};
  args.gate = gates.data, args.gate_row_stride = gates.stride;
  args.up = ups.data, args.up_row_stride = ups.stride;
  args.y = to.rows().data, args.y_row_stride = to.rows().stride;
  args.gate_bias = gate_bias.data(), args.up_bias = up_bias.data();
  args.rows = gates.rows, args.n = gates.n;
  args.kind = kind, args.dtype = code_of(gate->dtype);
  embedded::launch(call, &embedded::glu_forward, &pyllm_cuda_glu_forward, args);
  to.finish(call);
  call.finish();
  return y.object();
}

py::tuple pair_of(py::handle out) {
  if (out.is_none()) return py::make_tuple(py::none(), py::none());
  if (!py::isinstance<py::tuple>(out) || py::len(out) != 2) {
    throw py::type_error("out: expected a tuple of two arrays (dgate, dup), got " +
                         std::string(py::str(py::type::of(out).attr("__name__"))));
  }
  return py::reinterpret_borrow<py::tuple>(out);
}

py::object gradients(int32_t kind, py::handle dy_object, py::handle gate_object,
                     py::handle up_object, py::handle gate_bias_object, py::handle up_bias_object,
                     py::handle out) {
  Call call(gate_object, "gate");
  const Input gate(call, gate_object, "gate"), up(call, up_object, "up");
  const Input dy(call, dy_object, "grad");
  require_kernel_float(gate);
  up.require_same_dtype(gate).require_same_shape(gate);
  dy.require_same_dtype(gate).require_same_shape(gate);
  const Bias gate_bias(call, gate_bias_object, "gate_bias", gate);
  const Bias up_bias(call, up_bias_object, "up_bias", gate);
  const py::tuple outs = pair_of(out);
  const Output dgate = Output::like(call, gate, outs[0]), dup = Output::like(call, gate, outs[1]);
  for (const Output* result : {&dgate, &dup}) {
    for (const Input* in : {&gate, &up, &dy}) require_no_overlap(result->view(), *in, true);
    gate_bias.require_apart(*result);
    up_bias.require_apart(*result);
  }
  if (!out.is_none()) require_no_overlap(dgate.view(), Input(call, outs[1], "out[1]"), false);
  const Rows gates = read_rows(call, gate.view()), ups = read_rows(call, up.view());
  const Rows gradient = read_rows(call, dy.view());
  const RowsToWrite to_gate(call, dgate.view()), to_up(call, dup.view());
  const Output dgate_bias = gate_bias.gradient(call), dup_bias = up_bias.gradient(call);
  GluBackward args{};
  args.dy = gradient.data, args.dy_row_stride = gradient.stride;
  args.gate = gates.data, args.gate_row_stride = gates.stride;
  args.up = ups.data, args.up_row_stride = ups.stride;
  args.dgate = to_gate.rows().data, args.dgate_row_stride = to_gate.rows().stride;
  args.dup = to_up.rows().data, args.dup_row_stride = to_up.rows().stride;
  args.gate_bias = gate_bias.data(), args.up_bias = up_bias.data();
  args.dgate_bias = dgate_bias.view().data, args.dup_bias = dup_bias.view().data;
  args.rows = gates.rows, args.n = gates.n;
  args.kind = kind, args.dtype = code_of(gate->dtype);
  if (gate_bias || up_bias) {
    args.partial_rows = partial_rows(call, gates.rows);
    args.partial = call.workspace_of<float>(2 * args.partial_rows * gates.n);
  }
  embedded::launch(call, &embedded::glu_backward, &pyllm_cuda_glu_backward, args);
  to_gate.finish(call);
  to_up.finish(call);
  call.finish();
  py::list results;
  results.append(dgate.object());
  results.append(dup.object());
  if (gate_bias) results.append(dgate_bias.object());
  if (up_bias) results.append(dup_bias.object());
  return py::tuple(results);
}

}  // namespace

void bind_glu(py::module_& m) {
  m.def("swiglu",
        [](py::handle gate, py::handle up, py::handle gate_bias, py::handle up_bias,
           py::handle out) { return glu(cuda::kSilu, gate, up, gate_bias, up_bias, out); });
  m.def("swiglu_backward", [](py::handle dy, py::handle gate, py::handle up, py::handle gate_bias,
                              py::handle up_bias, py::handle out) {
    return gradients(cuda::kSilu, dy, gate, up, gate_bias, up_bias, out);
  });
  m.def("geglu", [](py::handle gate, py::handle up, py::handle gate_bias, py::handle up_bias,
                    const std::string& approximate, py::handle out) {
    return glu(gelu_kind(approximate), gate, up, gate_bias, up_bias, out);
  });
  m.def("geglu_backward", [](py::handle dy, py::handle gate, py::handle up, py::handle gate_bias,
                             py::handle up_bias, const std::string& approximate, py::handle out) {
    return gradients(gelu_kind(approximate), dy, gate, up, gate_bias, up_bias, out);
  });
}

}  // namespace pyllm::bind_cuda
