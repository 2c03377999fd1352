#include "attention_decode.h"

#include <algorithm>
#include <vector>

#include "bindings/attention_arrays.h"
#include "bindings/attention_scalars.h"
#include "bindings_cuda/attention_options.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {
namespace {

// Lengths and block numbers stay on the device: one that is out of range gives NaN.
const void* read_integers(Call& call, const Input& a, int32_t& is_int64) {
  a.require_dtype({DType::i32, DType::i64});
  is_int64 = a->dtype == DType::i64;
  return read_contiguous(call, a.view()).data;
}

py::object decode(py::handle query, py::handle key_cache, py::handle value_cache,
                  py::handle lengths_object, py::handle block_table, py::handle window,
                  py::handle scale, py::handle alibi_slopes, py::handle softcap,
                  py::handle out_object) {
  Call call(query, "query");
  const Input q(call, query, "query"), k(call, key_cache, "key_cache");
  const Input v(call, value_cache, "value_cache");
  require_kernel_float(q).require_ndim(4);
  k.require_ndim(4).require_same_dtype(q);
  v.require_ndim(4).require_same_dtype(q);
  const bool paged = !block_table.is_none();
  const auto expect = [&](bool holds, const Input& a, const char* expected) {
    if (holds) return;
    bind::fail_value(a.name(), std::string("expected ") + expected + ", got shape " +
                                   bind::shape_string(a.shape()) + " with query of shape " +
                                   bind::shape_string(q.shape()));
  };
  constexpr int64_t kMaxHeadDim = 256;
  const char* const dims = "a head_dim from 1 to 256, which is what the CUDA kernels take";
  expect(q.shape(3) >= 1 && q.shape(3) <= kMaxHeadDim, q, dims);
  expect(paged || k.shape(0) == q.shape(0), k, "the batch size of query");
  expect(k.shape(3) == q.shape(3), k, "the head_dim of query");
  expect(k.shape(2) >= 1 && q.shape(2) % k.shape(2) == 0, k,
         "a number of heads that divides that of query");
  v.require_shape({k.shape(0), k.shape(1), k.shape(2), v.shape(3)});
  expect(v.shape(3) >= 1 && v.shape(3) <= kMaxHeadDim, v, dims);
  bind::require_contiguous_rows(k.view(), k.name());  // a cache is too large to copy on the side
  bind::require_contiguous_rows(v.view(), v.name());
  const bind::AttentionScalars scalars(scale, softcap, 0, window, true, q.shape(3));

  AttentionDecode args{};
  const Array queries =
      q->strides[3] == 1 || q.shape(3) <= 1 ? q.view() : read_contiguous(call, q.view());
  args.q = queries.data, args.k = k->data, args.v = v->data;
  set_strides(args.q_strides, queries);
  set_strides(args.k_strides, k.view());
  set_strides(args.v_strides, v.view());
  args.batch = q.shape(0), args.queries = q.shape(1), args.heads = q.shape(2);
  args.kv_heads = k.shape(2), args.head_dim = q.shape(3), args.value_dim = v.shape(3);
  args.capacity = k.shape(1), args.blocks = k.shape(0);
  const Input lengths(call, lengths_object, "lengths");
  lengths.require_shape({q.shape(0)});
  args.lengths = read_integers(call, lengths, args.lengths_int64);
  const auto table = optional_input(call, block_table, "block_table");
  if (table) {
    table->require_ndim(2).require_shape({q.shape(0), table->shape(1)});
    args.block_table = read_integers(call, *table, args.block_table_int64);
    args.blocks_per_sequence = table->shape(1);
  }
  const auto alibi = optional_input(call, alibi_slopes, "alibi_slopes");
  if (alibi) {
    alibi->require_dtype({DType::f32});
    const Array view = bind::broadcast(*alibi, {args.batch, args.heads});
    args.alibi = view.as<float>();
    std::copy_n(view.strides.begin(), 2, args.alibi_strides);
  }
  args.left = scalars.left;
  args.scale = static_cast<float>(scalars.scale);
  args.softcap = static_cast<float>(scalars.softcap);
  args.dtype = code_of(q->dtype);
  args.splits = attention_decode_splits(args, multiprocessors(call.device()));
  const int64_t rows = args.splits * args.batch * args.heads * args.queries;
  args.partial_out = call.workspace_of<float>(rows * args.value_dim);
  args.partial_top = call.workspace_of<float>(rows);
  args.partial_sum = call.workspace_of<float>(rows);

  std::vector<int64_t> shape(q.shape().begin(), q.shape().end());
  shape.back() = v.shape(3);
  const Output out(call, q, out_object, shape, q->dtype);
  bind::require_contiguous_rows(out.view(), "out");
  for (const Input* in : {&q, &k, &v}) {
    bind::require_apart(out.view(), "out", in->view(), in->name());
  }
  args.out = out.view().data;
  set_strides(args.out_strides, out.view());
  call.launch(&pyllm_cuda_attention_decode, args);
  call.finish();
  return out.object();
}

}  // namespace

void bind_attention_decode(py::module_& m) {
  const auto none = py::none();
  m.def("attention_decode", &decode, py::arg("query"), py::arg("key_cache"), py::arg("value_cache"),
        py::arg("lengths"), py::arg("block_table") = none, py::arg("window") = none,
        py::arg("scale") = none, py::arg("alibi_slopes") = none, py::arg("softcap") = none,
        py::arg("out") = none);
}

}  // namespace pyllm::bind_cuda
