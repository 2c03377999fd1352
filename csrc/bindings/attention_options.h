// The options that attention, its backward and decoding share, checked and turned into views.
#pragma once

#include <memory>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/attention_arrays.h"
#include "cpu/attention.h"

namespace pyllm::bind {

// As Python gave them.
struct OptionArgs {
  bool causal = false;
  py::handle window, scale, bias, key_padding_mask, alibi_slopes, softcap;
  double dropout_p = 0;
  uint64_t seed = 0, stream = 0;
  py::handle cu_seqlens_q, cu_seqlens_k;
};

class Options {
 public:
  // q and k: (batch, seq, heads, head_dim). Throws ValueError or TypeError.
  Options(const OptionArgs& given, const Array& q, const Array& k);
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

  const AttentionOptions& view() const { return options_; }
  const Input* bias() const { return bias_.get(); }

 private:
  void read_starts(py::handle cu_q, py::handle cu_k, const Array& q, const Array& k);
  void read_bias(const Array& q, const Array& k);
  void read_key_mask(const Array& k);
  void read_alibi(const Array& q);

  AttentionOptions options_;
  std::unique_ptr<Input> bias_, key_mask_, alibi_;
  Array bias_view_, key_mask_view_, alibi_view_;
  std::vector<int64_t> q_starts_, k_starts_;
};

// `a`, or a copy of it if its last axis is not contiguous; the copies live as long as `copies`.
using Copy = std::unique_ptr<void, void (*)(void*)>;
Array with_contiguous_rows(const Input& a, std::vector<Copy>& copies);

// Int32 or int64 values of a 1-d or 2-d argument.
std::vector<int64_t> read_integers(const Argument& a);

Output output_like_named(const Input& like, py::handle out, const char* name);

}  // namespace pyllm::bind
