// Which weights of a tile dropout keeps.
//
// The elements of a row of weights lie next to one another in the Philox stream, but a row begins
// anywhere in a block of four. A warp draws the blocks that its part of a tile touches, each once,
// and leaves one byte a block in shared memory, a bit an element; so forward and both halves of
// backward see the same mask, whatever their tiles.
#pragma once

#include "attention_scores.cuh"
#include "philox.cuh"

namespace pyllm::cuda {

// A warp's kQueries x kKeys part of a tile.
template <int kQueries, int kKeys>
class KeptWeights {
 public:
  static constexpr int kBlocks = kKeys / 4 + 1, kBytes = kQueries * kBlocks;

  // `bytes`: kBytes of shared memory of this warp.
  PYLLM_DEVICE KeptWeights(const dev::Shared<uint8_t>& bytes, const Attention& a,
                           const AttentionHead& h, int head)
      : bytes_(bytes),
        row_(static_cast<uint64_t>(a.keys)),
        first_(static_cast<uint64_t>((h.batch * a.heads + head) * a.queries + h.q_begin) * row_ +
               static_cast<uint64_t>(h.k_begin)) {}

  PYLLM_DEVICE void draw(const Attention& a, int query, int key) {
    __syncwarp();  // the last tile's bits have been read
    const auto threshold = static_cast<uint32_t>(a.threshold);
    for (int i = threadIdx.x % 32; i < kBytes; i += 32) {
      const uint64_t block = element(query + i / kBlocks, key) / 4 + i % kBlocks;
      const PhiloxWords words = philox(a.seed, a.stream, block);
      uint32_t kept = 0;
#pragma unroll
      for (int k = 0; k < 4; ++k) kept |= static_cast<uint32_t>(words.v[k] >= threshold) << k;
      dev::sts(bytes_ + i, static_cast<uint8_t>(kept));
    }
    __syncwarp();
    query_ = query;
    key_ = key;
  }

  PYLLM_DEVICE bool keeps(int query, int key) const {
    const int place = static_cast<int>(element(query, key_) % 4) + key - key_;
    return dev::lds(bytes_ + ((query - query_) * kBlocks + place / 4)) >> place % 4 & 1;
  }

 private:
  PYLLM_DEVICE uint64_t element(int query, int key) const {
    return first_ + static_cast<uint64_t>(query) * row_ + static_cast<uint64_t>(key);
  }

  dev::Shared<uint8_t> bytes_;
  uint64_t row_, first_;
  int query_ = 0, key_ = 0;
};

}  // namespace pyllm::cuda
