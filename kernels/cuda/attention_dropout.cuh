// Which weights of a tile dropout keeps.
//
// The elements of a row of weights lie next to one another in the Philox stream, but a row begins
// anywhere in a block of four. A warp draws the blocks that its part of a tile touches, each once,
// and leaves one byte a block in shared memory, a bit an element; so forward and all of backward
// see the same mask, whatever their tiles.
#pragma once

#include "attention_scores.cuh"
#include "philox.cuh"

namespace pyllm::cuda {

// A warp's kQueries x kKeys part of a tile.
template <int kQueries, int kKeys>
class KeptWeights {
 public:
  static constexpr int kBlocks = kKeys / 4 + 1, kBytes = kQueries * kBlocks;

  // kBytes of shared memory of this warp.
  PYLLM_DEVICE explicit KeptWeights(const dev::Shared<uint8_t>& bytes) : bytes_(bytes) {}

  // The part from (query, key) on, of the head's sequence.
  PYLLM_DEVICE void draw(const Attention& a, const AttentionHead& h, int query, int key) {
    __syncwarp();  // the last part's bits have been read
    query_ = query;
    key_ = key;
    row_ = static_cast<uint64_t>(a.keys);
    const int64_t row = (h.batch * a.heads + h.head) * a.queries + h.q_begin + query;
    first_ = static_cast<uint64_t>(row) * row_ + static_cast<uint64_t>(h.k_begin + key);
    const auto threshold = static_cast<uint32_t>(a.threshold);
    for (int i = threadIdx.x % 32; i < kBytes; i += 32) {
      const uint64_t block = first_of(i / kBlocks) / 4 + i % kBlocks;
      const PhiloxWords words = philox(a.seed, a.stream, block);
      uint32_t kept = 0;
#pragma unroll
      for (int k = 0; k < 4; ++k) kept |= static_cast<uint32_t>(words.v[k] >= threshold) << k;
      dev::sts(bytes_ + i, static_cast<uint8_t>(kept));
    }
    __syncwarp();
  }

  PYLLM_DEVICE bool keeps(int query, int key) const {
    const int place = static_cast<int>(first_of(query - query_) % 4) + key - key_;
    return dev::lds(bytes_ + ((query - query_) * kBlocks + place / 4)) >> place % 4 & 1;
  }

 private:
  // The first element of a row of the part.
  PYLLM_DEVICE uint64_t first_of(int row) const {
    return first_ + static_cast<uint64_t>(row) * row_;
  }

  dev::Shared<uint8_t> bytes_;
  uint64_t first_ = 0, row_ = 0;
  int query_ = 0, key_ = 0;
};

}  // namespace pyllm::cuda
