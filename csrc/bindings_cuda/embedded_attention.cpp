// Attention and its gradients by the embedded Triton kernels: 16 bits, heads of 64, 128 and 256
// features, offsets of packed batches in 32 bits. Biases and ALiBi stay with CUDA.
#include <algorithm>

#include "bindings_cuda/embedded.h"

namespace pyllm::bind_cuda::embedded {
namespace {

constexpr int64_t kFar = int64_t{1} << 30;  // a window without an edge on that side

int64_t sequences(const Attention& args) {
  return args.q_starts != nullptr ? args.sequences : args.batch;
}
int64_t longest_queries(const Attention& args) {
  return args.q_starts != nullptr ? args.longest_queries : args.queries;
}
int64_t longest_keys(const Attention& args) {
  return args.k_starts != nullptr ? args.longest_keys : args.keys;
}

void set_rows(Arguments& a, const char* const (&names)[3], const int64_t (&strides)[3]) {
  for (int i = 0; i < 3; ++i) a.integer(names[i], strides[i]);
}

void set_statistics(Arguments& a, const Attention& args) {
  const bool packed = args.q_starts != nullptr;
  a.pointer("lse", args.lse, "fp32");
  a.integer("lse_batch", packed ? 0 : args.heads * args.queries).integer("lse_head", args.queries);
}

void set_sizes(Arguments& a, const Attention& args) {
  a.integer("PACKED", args.q_starts != nullptr);
  a.pointer("q_starts", args.q_starts, args.starts_int64 ? "i64" : "i32");
  a.pointer("k_starts", args.k_starts, args.starts_int64 ? "i64" : "i32");
  a.integer("Tq", longest_queries(args)).integer("Tk", longest_keys(args));
  a.integer("heads", args.heads).integer("group", args.heads / std::max<int64_t>(args.kv_heads, 1));
  a.integer("width", args.head_dim).integer("value_width", args.value_dim);
  a.integer("D", args.head_dim).integer("DV", args.value_dim).integer("EVEN", true);
  a.integer("drop_rows", args.queries).integer("drop_columns", args.keys);
}

void set_options(Arguments& a, const Attention& args) {
  // Only kernels without any option know that they are causal; the others take both edges.
  const bool plain = args.softcap == 0 && args.key_mask == nullptr && args.threshold == 0;
  const bool causal = plain && args.right == 0 && args.left >= kFar;
  a.integer("LEFT", !causal).integer("RIGHT", true);
  a.integer("left", std::min(args.left, kFar)).integer("right", std::min(args.right, kFar));
  a.number("scale", args.scale);
  a.number("softcap", args.softcap).integer("SOFTCAP", args.softcap != 0);
  a.integer("BIAS", args.bias != nullptr).integer("ALIBI", args.alibi != nullptr);
  a.pointer("key_mask", args.key_mask, "i1").integer("KEY_MASK", args.key_mask != nullptr);
  if (args.key_mask != nullptr) {
    a.integer("mask_batch", args.key_mask_strides[0]);
    a.integer("mask_column", args.key_mask_strides[1]);
  }
  a.integer("DROPOUT", args.threshold != 0).integer("threshold", args.threshold);
  if (args.threshold != 0) a.integer("ALIGNED", args.q_starts == nullptr && args.keys % 4 == 0);
  a.number("keep_scale", args.keep_scale).integer("seed", static_cast<int64_t>(args.seed));
  a.integer("stream", static_cast<int64_t>(args.stream));
}

Arguments inputs_of(const Attention& args) {
  Arguments a;
  const char* storage = element(args.dtype);
  a.pointer("q", args.q, storage).pointer("k", args.k, storage).pointer("v", args.v, storage);
  set_rows(a, {"q_batch", "q_row", "q_head"}, args.q_strides);
  set_rows(a, {"k_batch", "k_row", "k_head"}, args.k_strides);
  set_rows(a, {"v_batch", "v_row", "v_head"}, args.v_strides);
  set_statistics(a, args);
  set_sizes(a, args);
  set_options(a, args);
  return a;
}

// Other options than those of kernels/triton/embedded/attention.py; positions past 2^30.
bool out_of_reach(const Attention& args) {
  return args.bias != nullptr || args.alibi != nullptr || args.queries >= kFar || args.keys >= kFar;
}

// One program a tile of `each` rows of a head.
void queue(const Launch& launch, const char* each, int64_t heads, int64_t longest,
           const Attention& args, cudaStream_t stream) {
  const int64_t programs = sequences(args) * heads * blocks(longest, launch.constant(each));
  if (programs > 0) launch(programs, stream);
}
}  // namespace

bool attention_forward(const Attention& args, cudaStream_t stream) {
  if (out_of_reach(args)) return false;
  Arguments a = inputs_of(args);
  a.pointer("out", args.out, element(args.dtype));
  set_rows(a, {"out_batch", "out_row", "out_head"}, args.out_strides);
  const Launch launch("attention_forward_kernel", a);
  if (!launch) return false;
  queue(launch, "M", args.heads, longest_queries(args), args, stream);
  return true;
}

bool attention_backward(const AttentionBackward& args, cudaStream_t stream) {
  const Attention& forward = args.forward;
  if (out_of_reach(forward)) return false;
  const char* storage = element(forward.dtype);
  Arguments a = inputs_of(forward);
  a.pointer("out", forward.out, storage).pointer("grad", args.dout, storage);
  set_rows(a, {"out_batch", "out_row", "out_head"}, forward.out_strides);
  set_rows(a, {"grad_batch", "grad_row", "grad_head"}, args.dout_strides);
  a.pointer("delta", args.delta, "fp32");
  a.pointer("dq", args.dq, storage).pointer("dk", args.dk, storage);
  a.pointer("dv_out", args.dv, storage);
  set_rows(a, {"dq_batch", "dq_row", "dq_head"}, args.dq_strides);
  set_rows(a, {"dk_batch", "dk_row", "dk_head"}, args.dk_strides);
  set_rows(a, {"dv_batch", "dv_row", "dv_head"}, args.dv_strides);
  const Launch delta("attention_delta_kernel", a);
  const Launch dq("attention_dq_kernel", a), dkdv("attention_dkdv_kernel", a);
  if (!delta || !dq || !dkdv) return false;
  queue(delta, "M", forward.heads, longest_queries(forward), forward, stream);
  queue(dq, "M", forward.heads, longest_queries(forward), forward, stream);
  queue(dkdv, "N", forward.kv_heads, longest_keys(forward), forward, stream);
  return true;
}

}  // namespace pyllm::bind_cuda::embedded
