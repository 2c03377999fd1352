#include "bindings/attention_options.h"

#include <algorithm>
#include <cstring>

#include "bindings/attention_scalars.h"
#include "core/memory.h"

namespace pyllm::bind {
namespace {

[[noreturn]] void fail(const std::string& message) {
  throw py::value_error(message);
}

void check_starts(const std::vector<int64_t>& starts, int64_t total, const char* name) {
  if (starts.empty() || starts.front() != 0 || starts.back() != total ||
      !std::is_sorted(starts.begin(), starts.end())) {
    fail(std::string(name) + ": expected offsets that start at 0, never fall and end at " +
         std::to_string(total) + ", the number of tokens");
  }
}

int64_t longest(const std::vector<int64_t>& starts) {
  int64_t most = 0;
  for (size_t i = 1; i < starts.size(); ++i) most = std::max(most, starts[i] - starts[i - 1]);
  return most;
}

}  // namespace

Options::Options(const OptionArgs& given, const Array& q, const Array& k) {
  const AttentionScalars scalars(given.scale, given.softcap, given.dropout_p, given.window,
                                 given.causal, q.shape[3]);
  options_.scale = scalars.scale, options_.softcap = scalars.softcap;
  options_.dropout_p = scalars.dropout_p;
  options_.left = scalars.left, options_.right = scalars.right;
  options_.seed = given.seed;
  options_.stream = given.stream;
  read_starts(given.cu_seqlens_q, given.cu_seqlens_k, q, k);
  bias_ = optional_input(given.bias, "bias");
  if (bias_) read_bias(q, k);
  key_mask_ = optional_input(given.key_padding_mask, "key_padding_mask");
  if (key_mask_) read_key_mask(k);
  alibi_ = optional_input(given.alibi_slopes, "alibi_slopes");
  if (alibi_) read_alibi(q);
}

void Options::read_starts(py::handle cu_q, py::handle cu_k, const Array& q, const Array& k) {
  if (cu_q.is_none()) {
    if (!cu_k.is_none()) fail("cu_seqlens_k: expected None without cu_seqlens_q");
    return;
  }
  q_starts_ = read_integers(Input(cu_q, "cu_seqlens_q").require_ndim(1));
  check_starts(q_starts_, q.shape[1], "cu_seqlens_q");
  k_starts_ =
      cu_k.is_none() ? q_starts_ : read_integers(Input(cu_k, "cu_seqlens_k").require_ndim(1));
  check_starts(k_starts_, k.shape[1], "cu_seqlens_k");
  if (k_starts_.size() != q_starts_.size()) {
    fail("cu_seqlens_k: expected as many offsets as cu_seqlens_q, " +
         std::to_string(q_starts_.size()) + ", got " + std::to_string(k_starts_.size()));
  }
  options_.q_starts = q_starts_.data();
  options_.k_starts = k_starts_.data();
  options_.sequences = static_cast<int64_t>(q_starts_.size()) - 1;
}

void Options::read_bias(const Array& q, const Array& k) {
  bias_->require_float();
  const bool packed = options_.q_starts != nullptr;
  bias_view_ = broadcast(
      *bias_, {packed ? options_.sequences : q.shape[0], q.shape[2],
               packed ? longest(q_starts_) : q.shape[1], packed ? longest(k_starts_) : k.shape[1]});
  options_.bias = &bias_view_;
}

void Options::read_key_mask(const Array& k) {
  if (options_.q_starts) fail("key_padding_mask: expected None with cu_seqlens_q");
  key_mask_->require_dtype({DType::boolean}).require_shape({k.shape[0], k.shape[1]});
  key_mask_view_ = key_mask_->view();
  options_.key_mask = &key_mask_view_;
}

void Options::read_alibi(const Array& q) {
  alibi_->require_dtype({DType::f32});
  alibi_view_ =
      broadcast(*alibi_, {options_.q_starts ? options_.sequences : q.shape[0], q.shape[2]});
  options_.alibi = &alibi_view_;
}

Array with_contiguous_rows(const Input& a, std::vector<Copy>& copies) {
  const Array& view = a.view();
  const int last = view.ndim - 1;
  if (view.strides[last] == 1 || view.shape[last] <= 1 || view.size() == 0) return view;
  Array copy = view;
  int64_t stride = 1;
  for (int i = last; i >= 0; --i) {
    copy.strides[i] = stride;
    stride *= view.shape[i];
  }
  const size_t item = size_of(view.dtype);
  copies.emplace_back(allocate(static_cast<size_t>(stride) * item), deallocate);
  copy.data = copies.back().get();
  auto* to = static_cast<char*>(copy.data);
  for (int64_t r = 0; r < stride; ++r, to += item) {
    int64_t offset = 0;
    for (int64_t i = last, rest = r; i >= 0; --i) {
      offset += rest % view.shape[i] * view.strides[i];
      rest /= view.shape[i];
    }
    std::memcpy(to, static_cast<const char*>(view.data) + offset * int64_t(item), item);
  }
  return copy;
}

std::vector<int64_t> read_integers(const Argument& a) {
  a.require_dtype({DType::i32, DType::i64});
  const int64_t columns = a->ndim == 2 ? a->shape[1] : 1;
  std::vector<int64_t> values(a->size());
  for (int64_t i = 0; i < a->size(); ++i) {
    const int64_t at =
        i / columns * a->strides[0] + (a->ndim == 2 ? i % columns * a->strides[1] : 0);
    values[i] = a->dtype == DType::i64 ? a->as<int64_t>()[at] : a->as<int32_t>()[at];
  }
  return values;
}

Output output_like_named(const Input& like, py::handle out, const char* name) {
  return make_output(like, out, like.shape(), like->dtype, name);
}

}  // namespace pyllm::bind
