// The dropout multipliers of a tile: 0, or 1 / (1 - p).
//
// Element (b, h, i, j) of the probabilities is number ((b H + h) Tq + i) Tk + j of the Philox
// stream, where a packed batch counts as one entry and i, j are its rows: the mask depends on
// neither the tiles nor the threads, and backward draws it again.
#pragma once

#include "cpu/attention/problem.h"
#include "cpu/philox.h"

namespace pyllm::PYLLM_ISA {

template <class C>
class Dropout {
 public:
  Dropout(const AttentionOptions& o, const Array& q, const Array& k, const Sequence& s,
          int64_t head)
      : philox_(o.seed, o.stream),
        threshold_(drop_threshold(o.dropout_p)),
        keep_(C(1.0 / (1.0 - o.dropout_p))),
        row_(k.shape[1]),
        first_(((s.batch * q.shape[2] + head) * q.shape[1] + s.q_begin) * k.shape[1] + s.k_begin) {}

  // multipliers[j][i] for keys [key, key + keys) and queries [query, query + queries); the rest
  // of the panel's lanes get 0. At most kTileKeys keys.
  void tile(int64_t key, int64_t keys, int64_t query, int64_t queries, int64_t width,
            C* multipliers) const {
    if (queries < width) std::fill(multipliers, multipliers + keys * width, C(0));
    uint32_t words[kTileKeys + 4 + Philox::kTurn];
    for (int64_t i = 0; i < queries; ++i) {
      const auto element = static_cast<uint64_t>(first_ + (query + i) * row_ + key);
      const auto skip = static_cast<int64_t>(element % 4);
      philox_.draw(element / 4, skip + keys, words);
      for (int64_t j = 0; j < keys; ++j) {
        multipliers[j * width + i] = words[skip + j] < threshold_ ? C(0) : keep_;
      }
    }
  }

 private:
  Philox philox_;
  uint32_t threshold_;
  C keep_;
  int64_t row_, first_;
};

}  // namespace pyllm::PYLLM_ISA
