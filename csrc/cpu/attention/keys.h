// Tiles of keys and values copied out of the caller's arrays, and the key padding mask.
//
// A key that is padded away is copied as zeros, so whatever lies in it (NaN in uninitialised
// memory) stays out of the sums; its scores become -inf.
#pragma once

#include "cpu/attention/problem.h"
#include "cpu/attention/tiles.h"

namespace pyllm::PYLLM_ISA {

template <class T>
class KeyTiles {
  using C = compute_t<T>;

 public:
  KeyTiles(const AttentionOptions& o, const Array& k, const Array& v, const Sequence& s,
           int64_t kv_head)
      : keys_(k, s.batch, s.k_begin, kv_head),
        values_(v, s.batch, s.k_begin, kv_head),
        d_(k.shape[3]),
        dv_(v.shape[3]) {
    if (!o.key_mask) return;
    mask_ = o.key_mask->as<uint8_t>() + s.batch * o.key_mask->strides[0];
    mask_stride_ = o.key_mask->strides[1];
  }

  bool any(int64_t j, int64_t n) const {
    for (int64_t end = j + n; j < end; ++j) {
      if (keeps(j)) return true;
    }
    return false;
  }

  // Asks for keys and values that are copied next: rows of a head lie far apart in memory, where
  // the hardware sees no pattern.
  void prefetch(int64_t j, int64_t n) const {
    for (int64_t i = j; i < j + n; ++i) {
      for (int64_t c = 0; c < d_; c += kLine) __builtin_prefetch(keys_.row(i) + c);
      for (int64_t c = 0; c < dv_; c += kLine) __builtin_prefetch(values_.row(i) + c);
    }
  }

  // [kTileKeys][padded d]
  void copy_keys(int64_t j, int64_t n, C* to) const { copy(keys_, d_, j, n, to); }
  void copy_values(int64_t j, int64_t n, C* to) const { copy(values_, dv_, j, n, to); }

  // Scores of padded keys: -inf.
  template <int width>
  void mask(int64_t j, int64_t n, C* tile) const {
    if (!mask_) return;
    for (int64_t i = 0; i < n; ++i) {
      if (keeps(j + i)) continue;
      std::fill(tile + i * width, tile + (i + 1) * width, -std::numeric_limits<C>::infinity());
    }
  }

 private:
  bool keeps(int64_t j) const { return !mask_ || mask_[j * mask_stride_]; }

  void copy(const Head<const T>& from, int64_t d, int64_t j, int64_t n, C* to) const {
    copy_rows(from.row(j), from.stride, n, n, d, to);
    const int64_t ld = padded<C>(d);
    for (int64_t i = 0; i < n; ++i) {
      if (!keeps(j + i)) std::fill(to + i * ld, to + (i + 1) * ld, C(0));
    }
  }

  static constexpr int64_t kLine = 64 / sizeof(T);

  Head<const T> keys_, values_;
  int64_t d_, dv_;
  const uint8_t* mask_ = nullptr;
  int64_t mask_stride_ = 0;
};

}  // namespace pyllm::PYLLM_ISA
