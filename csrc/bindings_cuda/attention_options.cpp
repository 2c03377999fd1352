#include "bindings_cuda/attention_options.h"

#include <algorithm>
#include <string>
#include <vector>

#include "bindings/attention_scalars.h"
#include "core/philox.h"

namespace pyllm::bind_cuda {

using bind::shape_string;

namespace {

// The longest sequence, checked: what a bias is as long as.
int64_t longest(Call& call, const Input& starts, int64_t rows) {
  const Array packed = read_contiguous(call, starts.view());
  std::vector<char> bytes(static_cast<size_t>(packed.size()) * size_of(packed.dtype));
  call.run([&](cudaStream_t stream) {
    const cudaError_t error =
        cudaMemcpyAsync(bytes.data(), packed.data, bytes.size(), cudaMemcpyDeviceToHost, stream);
    return error != cudaSuccess ? error : cudaStreamSynchronize(stream);
  });
  int64_t most = 0, before = 0;
  for (int64_t i = 0; i < packed.size(); ++i) {
    const int64_t start = packed.dtype == DType::i64
                              ? reinterpret_cast<const int64_t*>(bytes.data())[i]
                              : reinterpret_cast<const int32_t*>(bytes.data())[i];
    if (start < before || (i == 0 && start != 0) || start > rows) {
      bind::fail_value(starts.name(), "expected offsets that start at 0, never fall and end at " +
                                          std::to_string(rows) + ", the number of tokens");
    }
    most = std::max(most, start - before);
    before = start;
  }
  return most;
}

}  // namespace

Heads::Heads(Call& call, py::handle query, py::handle key, py::handle value, bool packed)
    : q(call, query, "query"), k(call, key, "key"), v(call, value, "value"), packed(packed) {
  const int ndim = packed ? 3 : 4;
  require_kernel_float(q).require_ndim(ndim);
  k.require_ndim(ndim).require_same_dtype(q);
  v.require_ndim(ndim).require_same_dtype(q);
  q4 = read(call, q);
  k4 = read(call, k);
  v4 = read(call, v);
  const auto expect = [&](bool holds, const Input& a, const std::string& expected) {
    if (holds) return;
    bind::fail_value(a.name(), "expected " + expected + ", got shape " + shape_string(a.shape()) +
                                   " with query of shape " + shape_string(q.shape()));
  };
  constexpr int64_t kMaxHeadDim = 256;
  const std::string dims = "a head_dim from 1 to 256, which is what the CUDA kernels take";
  expect(q4.shape[3] >= 1 && q4.shape[3] <= kMaxHeadDim, q, dims);
  expect(k4.shape[0] == q4.shape[0], k, "the batch size of query");
  expect(k4.shape[3] == q4.shape[3], k, "the head_dim of query");
  expect(k4.shape[2] >= 1 && q4.shape[2] % k4.shape[2] == 0, k,
         "a number of heads that divides that of query");
  expect(v4.shape[0] == k4.shape[0] && v4.shape[1] == k4.shape[1] && v4.shape[2] == k4.shape[2], v,
         "the shape of key " + shape_string(k.shape()) + " but for head_dim");
  expect(v4.shape[3] >= 1 && v4.shape[3] <= kMaxHeadDim, v, dims);
}

Array Heads::read(Call& call, const Argument& a) const {
  const int last = a->ndim - 1;
  const bool contiguous = a->strides[last] == 1 || a->shape[last] <= 1 || a->size() == 0;
  return bind::as_4d(contiguous ? a.view() : read_contiguous(call, a.view()));
}

std::vector<int64_t> Heads::out_shape() const {
  std::vector<int64_t> shape(q.shape().begin(), q.shape().end());
  shape.back() = v4.shape[3];
  return shape;
}

std::vector<int64_t> Heads::lse_shape() const {
  if (packed) return {q4.shape[2], q4.shape[1]};
  return {q4.shape[0], q4.shape[2], q4.shape[1]};
}

void set_strides(int64_t (&strides)[3], const Array& a) {
  std::copy(a.strides.begin(), a.strides.begin() + 3, strides);
}

Options::Options(Call& call, const OptionArgs& given, const Heads& heads, Attention& args) {
  const bind::AttentionScalars scalars(given.scale, given.softcap, given.dropout_p, given.window,
                                       given.causal, heads.q4.shape[3]);
  args.q = heads.q4.data, args.k = heads.k4.data, args.v = heads.v4.data;
  set_strides(args.q_strides, heads.q4);
  set_strides(args.k_strides, heads.k4);
  set_strides(args.v_strides, heads.v4);
  args.batch = heads.q4.shape[0], args.queries = heads.q4.shape[1], args.heads = heads.q4.shape[2];
  args.keys = heads.k4.shape[1], args.kv_heads = heads.k4.shape[2];
  args.head_dim = heads.q4.shape[3], args.value_dim = heads.v4.shape[3];
  args.dtype = code_of(heads.q->dtype);
  args.left = scalars.left, args.right = scalars.right;
  args.scale = static_cast<float>(scalars.scale);
  args.softcap = static_cast<float>(scalars.softcap);
  args.seed = given.seed, args.stream = given.stream;
  args.threshold = drop_threshold(scalars.dropout_p);
  args.keep_scale = static_cast<float>(1.0 / (1.0 - scalars.dropout_p));
  read_starts(call, given, args);
  bias_ = optional_input(call, given.bias, "bias");
  if (bias_) read_bias(call, args);
  key_mask_ = optional_input(call, given.key_padding_mask, "key_padding_mask");
  if (key_mask_) read_key_mask(args);
  alibi_ = optional_input(call, given.alibi_slopes, "alibi_slopes");
  if (alibi_) read_alibi(args);
}

// The offsets stay on the device, but for a bias: reading them here would wait for it. Kernels
// clamp them to the rows there are, so wrong ones give wrong results but no wrong access.
void Options::read_starts(Call& call, const OptionArgs& given, Attention& args) {
  if (given.cu_seqlens_q.is_none()) {
    if (!given.cu_seqlens_k.is_none()) {
      bind::fail_value("cu_seqlens_k", "expected None without cu_seqlens_q");
    }
    return;
  }
  q_starts_ = std::make_unique<Input>(call, given.cu_seqlens_q, "cu_seqlens_q");
  q_starts_->require_dtype({DType::i32, DType::i64}).require_ndim(1);
  if (q_starts_->shape(0) < 1) {
    bind::fail_value("cu_seqlens_q", "expected offsets that start at 0, got none");
  }
  if (!given.cu_seqlens_k.is_none()) {
    k_starts_ = std::make_unique<Input>(call, given.cu_seqlens_k, "cu_seqlens_k");
    k_starts_->require_same_dtype(*q_starts_).require_same_shape(*q_starts_);
  }
  args.q_starts = read_contiguous(call, q_starts_->view()).data;
  args.k_starts = k_starts_ ? read_contiguous(call, k_starts_->view()).data : args.q_starts;
  args.sequences = q_starts_->shape(0) - 1;
  args.longest_queries = args.queries, args.longest_keys = args.keys;
  args.starts_int64 = (*q_starts_)->dtype == DType::i64;
}

// With a packed batch this waits for the device: a bias is as long as the longest sequence, which
// the offsets tell.
void Options::read_bias(Call& call, Attention& args) {
  require_kernel_float(*bias_);
  const bool packed = args.q_starts != nullptr;
  if (packed) {
    args.longest_queries = longest(call, *q_starts_, args.queries);
    args.longest_keys = longest(call, k_starts_ ? *k_starts_ : *q_starts_, args.keys);
  }
  const Array view = bind::broadcast(*bias_, {packed ? args.sequences : args.batch, args.heads,
                                              packed ? args.longest_queries : args.queries,
                                              packed ? args.longest_keys : args.keys});
  args.bias = view.data, args.bias_dtype = code_of(view.dtype);
  std::copy_n(view.strides.begin(), 4, args.bias_strides);
}

void Options::read_key_mask(Attention& args) {
  if (args.q_starts) bind::fail_value("key_padding_mask", "expected None with cu_seqlens_q");
  key_mask_->require_dtype({DType::boolean}).require_shape({args.batch, args.keys});
  args.key_mask = key_mask_->view().as<uint8_t>();
  std::copy_n((*key_mask_)->strides.begin(), 2, args.key_mask_strides);
}

void Options::read_alibi(Attention& args) {
  alibi_->require_dtype({DType::f32});
  const Array view =
      bind::broadcast(*alibi_, {args.q_starts ? args.sequences : args.batch, args.heads});
  args.alibi = view.as<float>();
  std::copy_n(view.strides.begin(), 2, args.alibi_strides);
}

void set_bias_strides(int64_t (&strides)[4], const Array& dbias) {
  const int missing = 4 - dbias.ndim;
  for (int i = 0; i < 4; ++i) {
    const bool repeated = i < missing || dbias.shape[i - missing] == 1;
    strides[i] = repeated ? 0 : dbias.strides[i - missing];
  }
}

}  // namespace pyllm::bind_cuda
