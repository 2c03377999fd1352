// The options of attention on a device, checked and put into what its launchers take.
#pragma once

#include "attention.h"
#include "bindings/attention_arrays.h"
#include "bindings_cuda/rows.h"

namespace pyllm::bind_cuda {

// As Python gave them.
struct OptionArgs {
  bool causal = false;
  py::handle window, scale, bias, key_padding_mask, alibi_slopes, softcap;
  double dropout_p = 0;
  uint64_t seed = 0, stream = 0;
  py::handle cu_seqlens_q, cu_seqlens_k;
};

// Query, key and value as 4-d views; a packed batch (tokens, heads, head_dim) is one entry.
struct Heads {
  Heads(Call& call, py::handle query, py::handle key, py::handle value, bool packed);

  // 4-d, with a contiguous last axis: a copy where it has not.
  Array read(Call& call, const Argument& a) const;
  std::vector<int64_t> out_shape() const;
  std::vector<int64_t> lse_shape() const;

  Input q, k, v;
  Array q4, k4, v4;
  bool packed;
};

// Fills everything of `args` but out and lse.
class Options {
 public:
  Options(Call& call, const OptionArgs& given, const Heads& heads, Attention& args);

  const Input* bias() const { return bias_.get(); }

 private:
  void read_starts(Call& call, const OptionArgs& given, Attention& args);
  void read_bias(Call& call, Attention& args);
  void read_key_mask(Attention& args);
  void read_alibi(Attention& args);

  std::unique_ptr<Input> bias_, key_mask_, alibi_, q_starts_, k_starts_;
};

void set_strides(int64_t (&strides)[3], const Array& a);

// Of a contiguous array in the shape of the bias, 0 along the axes that the bias repeats.
void set_bias_strides(int64_t (&strides)[4], const Array& dbias);

}  // namespace pyllm::bind_cuda
