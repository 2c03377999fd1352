// What the launchers of attention share: checks of the arguments, and the padded head size.
#pragma once

#include <type_traits>

#include "attention_head.cuh"
#include "launch.cuh"

namespace pyllm::cuda {

constexpr int64_t kMaxHeadDim = 256;

inline bool valid(const Attention& a) {
  const auto length = [](int64_t n) { return n >= 0 && n <= kMaxLength; };
  const auto dim = [](int64_t n) { return n >= 1 && n <= kMaxHeadDim; };
  const bool packed = a.q_starts != nullptr;
  return a.batch >= 0 && length(a.queries) && length(a.keys) && a.heads >= 1 && a.kv_heads >= 1 &&
         a.heads % a.kv_heads == 0 && a.heads <= kMaxGridYZ && dim(a.head_dim) &&
         dim(a.value_dim) && a.left >= 0 && a.right >= 0 && a.threshold >= 0 &&
         a.threshold <= UINT32_MAX && a.softcap >= 0.0f &&
         (a.bias_dtype >= kFloat32 && a.bias_dtype <= kBFloat16) &&
         packed == (a.k_starts != nullptr) &&
         (!packed || (a.batch == 1 && a.sequences >= 0 && length(a.longest_queries) &&
                      length(a.longest_keys) && !a.key_mask));
}

inline int64_t sequence_count(const Attention& a) {
  return a.q_starts ? a.sequences : a.batch;
}
inline int64_t longest_queries(const Attention& a) {
  return a.q_starts ? a.longest_queries : a.queries;
}
inline int64_t longest_keys(const Attention& a) {
  return a.q_starts ? a.longest_keys : a.keys;
}

// f(T{}, std::integral_constant<int, D>{}) for the dtype and the padded head size.
template <class Problem, class F>
cudaError_t with_shape(const Problem& a, F&& f) {
  const int64_t dim = a.head_dim > a.value_dim ? a.head_dim : a.value_dim;
  return with_type(a.dtype, [&](auto type) -> cudaError_t {
    if (dim <= 32) return f(type, std::integral_constant<int, 32>{});
    if (dim <= 64) return f(type, std::integral_constant<int, 64>{});
    if (dim <= 96) return f(type, std::integral_constant<int, 96>{});
    if (dim <= 128) return f(type, std::integral_constant<int, 128>{});
    return f(type, std::integral_constant<int, 256>{});
  });
}

// One block a tile of `rows` of the `length` rows of each of `sequences` sequences, and `heads`.
struct TileGrid {
  int64_t tiles, blocks;
  dim3 grid;

  TileGrid(int64_t sequences, int64_t length, int64_t rows, int64_t heads)
      : tiles((length + rows - 1) / rows),
        blocks(tiles * sequences),
        grid(static_cast<unsigned>(blocks), static_cast<unsigned>(heads)) {}
  bool fits() const { return blocks <= kMaxGridX; }
};

}  // namespace pyllm::cuda
