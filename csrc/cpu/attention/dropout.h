// The dropout multipliers of a tile: 0, or 1 / (1 - p).
//
// Element (b, h, i, j) of the probabilities is number ((b H + h) Tq + i) Tk + j of the Philox
// stream, where a packed batch counts as one entry and i, j are its rows: the mask depends on
// neither the tiles nor the threads, and backward draws it again.
#pragma once

#include "core/philox.h"
#include "cpu/attention/problem.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

// The words of blocks [first, first + count), in vectors of lanes: one lane, one block.
inline void philox_words(uint64_t seed, uint64_t stream, uint64_t first, int count, uint32_t* out) {
  constexpr int L = 16;
  for (int begin = 0; begin < count; begin += L) {
    uint32_t c0[L], c1[L], c2[L], c3[L];
    for (int l = 0; l < L; ++l) {
      const uint64_t block = first + static_cast<uint64_t>(begin + l);
      c0[l] = static_cast<uint32_t>(block);
      c1[l] = static_cast<uint32_t>(block >> 32);
      c2[l] = static_cast<uint32_t>(stream);
      c3[l] = static_cast<uint32_t>(stream >> 32);
    }
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += kPhiloxW0, k1 += kPhiloxW1) {
      for (int l = 0; l < L; ++l) {
        const uint64_t p0 = uint64_t{kPhiloxM0} * c0[l], p1 = uint64_t{kPhiloxM1} * c2[l];
        c0[l] = static_cast<uint32_t>(p1 >> 32) ^ c1[l] ^ k0;
        c2[l] = static_cast<uint32_t>(p0 >> 32) ^ c3[l] ^ k1;
        c1[l] = static_cast<uint32_t>(p1);
        c3[l] = static_cast<uint32_t>(p0);
      }
    }
    for (int l = 0; l < L && begin + l < count; ++l) {
      uint32_t* words = out + 4 * (begin + l);
      words[0] = c0[l];
      words[1] = c1[l];
      words[2] = c2[l];
      words[3] = c3[l];
    }
  }
}

template <class C>
class Dropout {
 public:
  Dropout(const AttentionOptions& o, const Array& q, const Array& k, const Sequence& s,
          int64_t head)
      : seed_(o.seed),
        stream_(o.stream),
        threshold_(drop_threshold(o.dropout_p)),
        keep_(C(1.0 / (1.0 - o.dropout_p))),
        row_(k.shape[1]),
        first_(((s.batch * q.shape[2] + head) * q.shape[1] + s.q_begin) * k.shape[1] + s.k_begin) {}

  // multipliers[j][i] for keys [key, key + keys) and queries [query, query + queries); the rest
  // of the panel's lanes get 0. At most kTileKeys keys.
  void tile(int64_t key, int64_t keys, int64_t query, int64_t queries, int64_t width,
            C* multipliers) const {
    if (queries < width) std::fill(multipliers, multipliers + keys * width, C(0));
    uint32_t words[kTileKeys + 8];
    for (int64_t i = 0; i < queries; ++i) {
      const auto element = static_cast<uint64_t>(first_ + (query + i) * row_ + key);
      const uint64_t block = element / 4;
      const auto skip = static_cast<int64_t>(element % 4);
      philox_words(seed_, stream_, block, static_cast<int>((skip + keys + 3) / 4), words);
      for (int64_t j = 0; j < keys; ++j) {
        multipliers[j * width + i] = words[skip + j] < threshold_ ? C(0) : keep_;
      }
    }
  }

 private:
  uint64_t seed_, stream_;
  uint32_t threshold_;
  C keep_;
  int64_t row_, first_;
};

}  // namespace pyllm::PYLLM_ISA
