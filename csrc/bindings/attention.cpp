#include "cpu/attention.h"

#include <cmath>
#include <optional>

#include "bindings/attention_options.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

// Query, key and value as 4-d views; a packed batch (tokens, heads, head_dim) is one entry.
struct Heads {
  Input q, k, v;
  Array q4, k4, v4;
  std::vector<Copy> copies;
  bool packed;

  Heads(py::handle query, py::handle key, py::handle value, bool packed)
      : q(query, "query"), k(key, "key"), v(value, "value"), packed(packed) {
    const int ndim = packed ? 3 : 4;
    q.require_float().require_ndim(ndim);
    k.require_ndim(ndim).require_same_dtype(q);
    v.require_ndim(ndim).require_same_dtype(q);
    q4 = read(q);
    k4 = read(k);
    v4 = read(v);
    const auto expect = [&](bool holds, const Input& a, const std::string& expected) {
      if (!holds) {
        throw py::value_error(std::string(a.name()) + ": expected " + expected + ", got shape " +
                              shape_string(a.shape()) + " with query of shape " +
                              shape_string(q.shape()));
      }
    };
    expect(q4.shape[3] >= 1, q, "a head_dim of at least 1");
    expect(k4.shape[0] == q4.shape[0], k, "the batch size of query");
    expect(k4.shape[3] == q4.shape[3], k, "the head_dim of query");
    expect(k4.shape[2] >= 1 && q4.shape[2] % k4.shape[2] == 0, k,
           "a number of heads that divides that of query");
    expect(v4.shape[0] == k4.shape[0] && v4.shape[1] == k4.shape[1] && v4.shape[2] == k4.shape[2],
           v, "the shape of key " + shape_string(k.shape()) + " but for head_dim");
    expect(v4.shape[3] >= 1, v, "a head_dim of at least 1");
  }

  Array read(const Input& a) { return as_4d(with_contiguous_rows(a, copies)); }

  std::vector<int64_t> out_shape() const {
    std::vector<int64_t> shape(q.shape().begin(), q.shape().end());
    shape.back() = v4.shape[3];
    return shape;
  }
  std::vector<int64_t> lse_shape() const {
    if (packed) return {q4.shape[2], q4.shape[1]};
    return {q4.shape[0], q4.shape[2], q4.shape[1]};
  }
  DType lse_dtype() const { return q->dtype == DType::f64 ? DType::f64 : DType::f32; }
  int64_t work() const { return std::max(q->size(), k->size()); }
};

Array lse_3d(Array lse) {
  if (lse.ndim == 3) return lse;
  return {lse.data, lse.dtype, 3, {1, lse.shape[0], lse.shape[1]}, {0, lse.strides[0], 1}};
}

py::object forward(py::handle query, py::handle key, py::handle value, const OptionArgs& given,
                   py::handle out_object, bool return_lse) {
  Heads heads(query, key, value, !given.cu_seqlens_q.is_none());
  const Options options(given, heads.q4, heads.k4);
  const Output out = make_output(heads.q, out_object, heads.out_shape(), heads.q->dtype);
  require_contiguous_rows(out.view, "out");
  for (const Input* in : {&heads.q, &heads.k, &heads.v}) {
    require_apart(out.view, "out", in->view(), in->name());
  }
  const Output lse = make_output(heads.q, heads.lse_shape(), heads.lse_dtype());
  AttentionArgs args;
  args.q = heads.q4;
  args.k = heads.k4;
  args.v = heads.v4;
  args.out = as_4d(out.view);
  args.lse = lse_3d(lse.view);
  args.options = options.view();
  run(heads.work(), [&] { attention_forward(args); });
  if (!return_lse) return out.object;
  return py::make_tuple(out.object, lse.object);
}

py::object backward(py::handle grad_object, py::handle query, py::handle key, py::handle value,
                    py::handle out_object, py::handle lse_object, const OptionArgs& given,
                    bool need_dbias, py::handle dq_out, py::handle dk_out, py::handle dv_out) {
  Heads heads(query, key, value, !given.cu_seqlens_q.is_none());
  const Options options(given, heads.q4, heads.k4);
  const auto out_shape = heads.out_shape();
  const Input grad(grad_object, "grad"), out(out_object, "out"), lse(lse_object, "lse");
  grad.require_shape(out_shape).require_same_dtype(heads.q);
  out.require_shape(out_shape).require_same_dtype(heads.q);
  lse.require_dtype({heads.lse_dtype()}).require_shape(heads.lse_shape());
  AttentionBackwardArgs args;
  args.q = heads.q4;
  args.k = heads.k4;
  args.v = heads.v4;
  args.grad = heads.read(grad);
  args.out = heads.read(out);
  args.lse = lse_3d(with_contiguous_rows(lse, heads.copies));
  args.options = options.view();
  const Output dq = output_like_named(heads.q, dq_out, "dq_out");
  const Output dk = output_like_named(heads.k, dk_out, "dk_out");
  const Output dv = output_like_named(heads.v, dv_out, "dv_out");
  const std::pair<const Output*, const char*> outputs[] = {
      {&dq, "dq_out"}, {&dk, "dk_out"}, {&dv, "dv_out"}};
  const Input* const inputs[] = {&grad, &heads.q, &heads.k, &heads.v, &out, &lse};
  for (const auto& [gradient, name] : outputs) {
    require_contiguous_rows(gradient->view, name);
    for (const Input* in : inputs) {
      require_apart(gradient->view, name, in->view(), in->name());
    }
    for (const auto& [other, other_name] : outputs) {
      if (other == gradient) break;
      require_apart(gradient->view, name, other->view, other_name);
    }
  }
  args.dq = as_4d(dq.view);
  args.dk = as_4d(dk.view);
  args.dv = as_4d(dv.view);
  py::object dbias_object = py::none();
  Array dbias;
  if (need_dbias) {
    if (!options.bias()) throw py::value_error("need_dbias: expected a bias to go with it");
    const Output made =
        make_output(*options.bias(), options.bias()->shape(), options.bias()->view().dtype);
    dbias = made.view;
    args.dbias = &dbias;
    dbias_object = made.object;
  }
  run(heads.work(), [&] { attention_backward(args); });
  return py::make_tuple(dq.object, dk.object, dv.object, dbias_object);
}

// The number of positions a cache has room for, per sequence.
void check_lengths(const Input& lengths, const std::vector<int64_t>& values, int64_t capacity) {
  for (const int64_t length : values) {
    if (length < 0 || length > capacity) {
      throw py::value_error(std::string(lengths.name()) + ": expected lengths from 0 to " +
                            std::to_string(capacity) + ", the cache's capacity, got " +
                            std::to_string(length));
    }
  }
}

// Block numbers are checked where a length makes use of them; the rest may be anything.
void check_blocks(const std::vector<int64_t>& blocks, int64_t per_sequence,
                  const std::vector<int64_t>& lengths, const Array& cache) {
  for (size_t b = 0; b < lengths.size(); ++b) {
    for (int64_t i = 0; i * cache.shape[1] < lengths[b]; ++i) {
      const int64_t block = blocks[b * per_sequence + i];
      if (block < 0 || block >= cache.shape[0]) {
        throw py::value_error("block_table: expected block numbers from 0 to " +
                              std::to_string(cache.shape[0] - 1) + " for sequence " +
                              std::to_string(b) + ", got " + std::to_string(block));
      }
    }
  }
}

py::object decode(py::handle query, py::handle key_cache, py::handle value_cache,
                  py::handle lengths_object, py::handle block_table, py::handle window,
                  py::handle scale, py::handle alibi_slopes, py::handle softcap,
                  py::handle out_object) {
  const Input q(query, "query"), k(key_cache, "key_cache"), v(value_cache, "value_cache");
  q.require_float().require_ndim(4);
  k.require_ndim(4).require_same_dtype(q);
  v.require_ndim(4).require_same_dtype(q);
  const bool paged = !block_table.is_none();
  const auto expect = [&](bool holds, const Input& a, const char* expected) {
    if (!holds) {
      throw py::value_error(std::string(a.name()) + ": expected " + expected + ", got shape " +
                            shape_string(a.shape()) + " with query of shape " +
                            shape_string(q.shape()));
    }
  };
  expect(q.shape(3) >= 1, q, "a head_dim of at least 1");
  expect(paged || k.shape(0) == q.shape(0), k, "the batch size of query");
  expect(k.shape(3) == q.shape(3), k, "the head_dim of query");
  expect(k.shape(2) >= 1 && q.shape(2) % k.shape(2) == 0, k,
         "a number of heads that divides that of query");
  v.require_shape({k.shape(0), k.shape(1), k.shape(2), v.shape(3)});
  expect(v.shape(3) >= 1, v, "a head_dim of at least 1");
  require_contiguous_rows(k.view(), k.name());  // a cache is too large to copy on the side
  require_contiguous_rows(v.view(), v.name());

  std::vector<Copy> copies;
  DecodeArgs args;
  args.q = with_contiguous_rows(q, copies);
  args.k = k.view();
  args.v = v.view();
  const py::none none;
  const Options options(
      {true, window, scale, none, none, alibi_slopes, softcap, 0, 0, 0, none, none}, args.q,
      args.k);
  args.options = options.view();

  const Input lengths(lengths_object, "lengths");
  lengths.require_shape({q.shape(0)});
  const auto length_values = read_integers(lengths);
  args.lengths = length_values.data();
  std::vector<int64_t> blocks;
  if (paged) {
    const Input table(block_table, "block_table");
    table.require_ndim(2).require_shape({q.shape(0), table.shape(1)});
    blocks = read_integers(table);
    args.blocks = blocks.data();
    args.blocks_per_sequence = table.shape(1);
    check_lengths(lengths, length_values, table.shape(1) * k.shape(1));
    check_blocks(blocks, table.shape(1), length_values, args.k);
  } else {
    check_lengths(lengths, length_values, k.shape(1));
  }
  std::vector<int64_t> out_shape(q.shape().begin(), q.shape().end());
  out_shape.back() = v.shape(3);
  const Output out = make_output(q, out_object, out_shape, q->dtype);
  require_contiguous_rows(out.view, "out");
  for (const Input* in : {&q, &k, &v}) require_apart(out.view, "out", in->view(), in->name());
  args.out = out.view;
  run(k->size(), [&] { attention_decode(args); });
  return out.object;
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
  m.def("attention_decode", &decode, py::arg("query"), py::arg("key_cache"), py::arg("value_cache"),
        py::arg("lengths"), py::arg("block_table") = none, py::arg("window") = none,
        py::arg("scale") = none, py::arg("alibi_slopes") = none, py::arg("softcap") = none,
        py::arg("out") = none);
}

}  // namespace pyllm::bind
