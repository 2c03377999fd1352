#include <utility>

#include "bindings_cuda/attention_options.h"
#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"

namespace pyllm::bind_cuda {
namespace {

py::object forward(py::handle query, py::handle key, py::handle value, const OptionArgs& given,
                   py::handle out_object, bool return_lse) {
  Call call(query, "query");
  const Heads heads(call, query, key, value, !given.cu_seqlens_q.is_none());
  Attention args{};
  const Options options(call, given, heads, args);
  const Output out(call, heads.q, out_object, heads.out_shape(), heads.q->dtype);
  bind::require_contiguous_rows(out.view(), "out");
  for (const Input* in : {&heads.q, &heads.k, &heads.v}) {
    bind::require_apart(out.view(), "out", in->view(), in->name());
  }
  const Output lse(call, heads.q, heads.lse_shape(), DType::f32);
  args.out = out.view().data;
  set_strides(args.out_strides, bind::as_4d(out.view()));
  args.lse = lse.view().as<float>();
  embedded::launch(call, &embedded::attention_forward, &pyllm_cuda_attention_forward, args);
  call.finish();
  if (!return_lse) return out.object();
  return py::make_tuple(out.object(), lse.object());
}

py::object backward(py::handle grad_object, py::handle query, py::handle key, py::handle value,
                    py::handle out_object, py::handle lse_object, const OptionArgs& given,
                    bool need_dbias, py::handle dq_out, py::handle dk_out, py::handle dv_out) {
  Call call(query, "query");
  const Heads heads(call, query, key, value, !given.cu_seqlens_q.is_none());
  AttentionBackward args{};
  const Options options(call, given, heads, args.forward);
  const auto out_shape = heads.out_shape();
  const Input grad(call, grad_object, "grad"), out(call, out_object, "out");
  const Input lse(call, lse_object, "lse");
  grad.require_shape(out_shape).require_same_dtype(heads.q);
  out.require_shape(out_shape).require_same_dtype(heads.q);
  lse.require_dtype({DType::f32}).require_shape(heads.lse_shape());
  const Array out4 = heads.read(call, out), grad4 = heads.read(call, grad);
  args.forward.out = out4.data;
  set_strides(args.forward.out_strides, out4);
  args.forward.lse = read_contiguous(call, lse.view()).as<float>();
  args.dout = grad4.data;
  set_strides(args.dout_strides, grad4);
  args.delta = call.workspace_of<float>(lse->size());

  const Output dq = Output::like(call, heads.q, dq_out, "dq_out");
  const Output dk = Output::like(call, heads.k, dk_out, "dk_out");
  const Output dv = Output::like(call, heads.v, dv_out, "dv_out");
  const std::pair<const Output*, const char*> outputs[] = {
      {&dq, "dq_out"}, {&dk, "dk_out"}, {&dv, "dv_out"}};
  const Input* const inputs[] = {&grad, &heads.q, &heads.k, &heads.v, &out, &lse};
  for (const auto& [gradient, name] : outputs) {
    bind::require_contiguous_rows(gradient->view(), name);
    for (const Input* in : inputs) {
      bind::require_apart(gradient->view(), name, in->view(), in->name());
    }
    for (const auto& [other, other_name] : outputs) {
      if (other == gradient) break;
      bind::require_apart(gradient->view(), name, other->view(), other_name);
    }
  }
  args.dq = dq.view().data, args.dk = dk.view().data, args.dv = dv.view().data;
  set_strides(args.dq_strides, bind::as_4d(dq.view()));
  set_strides(args.dk_strides, bind::as_4d(dk.view()));
  set_strides(args.dv_strides, bind::as_4d(dv.view()));
  Output dbias;
  if (need_dbias) {
    const Input* bias = options.bias();
    if (bias == nullptr) bind::fail_value("need_dbias", "expected a bias to go with it");
    dbias = Output(call, *bias, bias->shape(), (*bias)->dtype);
    args.dbias = dbias.view().data;
    set_bias_strides(args.dbias_strides, dbias.view());
  }
  embedded::launch(call, &embedded::attention_backward, &pyllm_cuda_attention_backward, args);
  if (need_dbias) call.launch(&pyllm_cuda_attention_bias_backward, args);
  call.finish();
  return py::make_tuple(dq.object(), dk.object(), dv.object(), dbias.object());
}

}  // namespace

void bind_attention(py::module_& m) {
  const auto none = py::none();
  m.def(
      "attention",
      [](py::handle query, py::handle key, py::handle value, bool causal, py::handle window,
         py::handle scale, py::handle bias, py::handle key_padding_mask, py::handle alibi_slopes,
         py::handle softcap, double dropout_p, uint64_t seed, uint64_t stream,
         py::handle cu_seqlens_q, py::handle cu_seqlens_k, py::handle out, bool return_lse) {
        return forward(query, key, value,
                       {causal, window, scale, bias, key_padding_mask, alibi_slopes, softcap,
                        dropout_p, seed, stream, cu_seqlens_q, cu_seqlens_k},
                       out, return_lse);
      },
      py::arg("query"), py::arg("key"), py::arg("value"), py::arg("causal") = false,
      py::arg("window") = none, py::arg("scale") = none, py::arg("bias") = none,
      py::arg("key_padding_mask") = none, py::arg("alibi_slopes") = none, py::arg("softcap") = none,
      py::arg("dropout_p") = 0.0, py::arg("seed") = 0, py::arg("stream") = 0,
      py::arg("cu_seqlens_q") = none, py::arg("cu_seqlens_k") = none, py::arg("out") = none,
      py::arg("return_lse") = false);
  m.def(
      "attention_backward",
      [](py::handle grad, py::handle query, py::handle key, py::handle value, py::handle out,
         py::handle lse, bool causal, py::handle window, py::handle scale, py::handle bias,
         py::handle key_padding_mask, py::handle alibi_slopes, py::handle softcap, double dropout_p,
         uint64_t seed, uint64_t stream, py::handle cu_seqlens_q, py::handle cu_seqlens_k,
         bool need_dbias, py::handle dq_out, py::handle dk_out, py::handle dv_out) {
        return backward(grad, query, key, value, out, lse,
                        {causal, window, scale, bias, key_padding_mask, alibi_slopes, softcap,
                         dropout_p, seed, stream, cu_seqlens_q, cu_seqlens_k},
                        need_dbias, dq_out, dk_out, dv_out);
      },
      py::arg("grad"), py::arg("query"), py::arg("key"), py::arg("value"), py::arg("out"),
      py::arg("lse"), py::arg("causal") = false, py::arg("window") = none, py::arg("scale") = none,
      py::arg("bias") = none, py::arg("key_padding_mask") = none, py::arg("alibi_slopes") = none,
      py::arg("softcap") = none, py::arg("dropout_p") = 0.0, py::arg("seed") = 0,
      py::arg("stream") = 0, py::arg("cu_seqlens_q") = none, py::arg("cu_seqlens_k") = none,
      py::arg("need_dbias") = false, py::arg("dq_out") = none, py::arg("dk_out") = none,
      py::arg("dv_out") = none);
}

}  // namespace pyllm::bind_cuda
