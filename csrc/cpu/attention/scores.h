// From raw products to masked scores, one tile [keys][panel] at a time: lanes are queries.
//
//   score(i, j) = cap(q_i . k_j * scale) + bias(i, j) - slope |i + offset - j|,  times log2(e)
//
// -inf outside the band. Tiles inside the band with neither cap, bias nor slope are left as the
// product made them: scale and log2(e) ride on the queries.
#pragma once

#include "cpu/attention/dropout.h"
#include "cpu/attention/problem.h"
#include "cpu/attention/tile_product.h"
#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {

// A tile's place: keys [key, key + keys) and queries [query, query + queries) of a sequence.
struct TileAt {
  int64_t key, keys;
  int64_t query, queries;
};

template <class C>
class Scores {
 public:
  using V = Vec<C>;
  static constexpr int kWidth = kPanel;

  Scores(const AttentionOptions& o, const Sequence& s, int64_t head)
      : options_(o), sequence_(s), band_(o, s), head_(head) {
    if (o.alibi) {
      slope_ = C(kLog2E) *
               o.alibi->as<float>()[s.index * o.alibi->strides[0] + head * o.alibi->strides[1]];
    }
    for (int i = 0; i < kWidth; ++i) lane_[i] = C(i);
  }

  const Band& band() const { return band_; }

  // What queries are multiplied by before the product.
  static C query_scale(const AttentionOptions& o) {
    return C(o.softcap > 0 ? o.scale / o.softcap : o.scale * kLog2E);
  }

  // Finishes a tile of products. cap_slope: where to leave the cap's derivative, or null.
  void finish(const TileAt& at, C* tile, C* cap_slope) const {
    if (options_.softcap > 0) cap(at, tile, cap_slope);
    if (options_.bias) {
      with_float_type(options_.bias->dtype,
                      [&](auto tag) { add_bias<typename decltype(tag)::type>(at, tile); });
    }
    if (slope_ != 0) add_alibi(at, tile);
    if (!band_.covers(at.query, at.query + at.queries, at.key, at.key + at.keys)) mask(at, tile);
  }

 private:
  void cap(const TileAt& at, C* tile, C* cap_slope) const {
    const C scale = C(options_.softcap * kLog2E);
    for (int64_t x = 0; x < at.keys * kWidth; x += V::lanes) {
      const V t = tanh(load(tile + x));
      store(tile + x, t * scale);
      if (cap_slope) store(cap_slope + x, V(1) - t * t);
    }
  }

  template <class B>
  void add_bias(const TileAt& at, C* tile) const {
    const Array& bias = *options_.bias;
    const int64_t si = bias.strides[2], sj = bias.strides[3];
    const B* from = bias.as<B>() + sequence_.index * bias.strides[0] + head_ * bias.strides[1] +
                    at.query * si + at.key * sj;
    for (int64_t i = 0; i < at.queries; ++i, from += si) {
      for (int64_t j = 0; j < at.keys; ++j) {
        tile[j * kWidth + i] += C(widen(from[j * sj])) * C(kLog2E);
      }
    }
  }

  void add_alibi(const TileAt& at, C* tile) const {
    for (int64_t j = 0; j < at.keys; ++j) {
      const V first = C(at.query + band_.offset - at.key - j);
      C* row = tile + j * kWidth;
      for (int x = 0; x < kWidth; x += V::lanes) {
        store(row + x, load(row + x) - abs(first + load(lane_ + x)) * slope_);
      }
    }
  }

  void mask(const TileAt& at, C* tile) const {
    const V outside = -std::numeric_limits<C>::infinity();
    for (int64_t j = 0; j < at.keys; ++j) {
      // Lane x is query at.query + x; it sees the key if low <= x <= high.
      const int64_t p = at.key + j - band_.offset - at.query;
      const V low = C(std::clamp<int64_t>(p - band_.right, -1, kWidth));
      const V high = C(std::clamp<int64_t>(p + band_.left, -1, kWidth));
      C* row = tile + j * kWidth;
      for (int x = 0; x < kWidth; x += V::lanes) {
        const V lane = load(lane_ + x);
        store(row + x, select<C>((lane >= low) & (lane <= high), load(row + x), outside));
      }
    }
  }

  const AttentionOptions& options_;
  const Sequence sequence_;
  const Band band_;
  const int64_t head_;
  C slope_ = 0;
  C lane_[kWidth];
};

}  // namespace pyllm::PYLLM_ISA
