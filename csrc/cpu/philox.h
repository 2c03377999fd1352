// Philox words (core/philox.h) in vectors: a 64-bit lane draws one block of four words. A product
// of 32-bit halves is what the lane holds, and what stands in its upper half afterwards is ignored
// by the next product. Several vectors of blocks are under way at once, to hide the latency of the
// products.
#pragma once

#include "core/philox.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {

class Philox {
 public:
  static constexpr int kChains = 4;
  static constexpr int kLanes = kVectorBytes / 8;
  static constexpr int kTurn = 4 * kLanes * kChains;  // words drawn at a time

  Philox(uint64_t seed, uint64_t stream) {
    uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (auto& key : keys_) {
      key[0] = Wide{} + uint64_t{k0}, key[1] = Wide{} + uint64_t{k1};
      k0 += kPhiloxW0, k1 += kPhiloxW1;
    }
    stream_[0] = Wide{} + (stream & 0xFFFFFFFFu), stream_[1] = Wide{} + (stream >> 32);
    // Even lanes hold the first half of a vector's blocks, odd lanes the second: interleaving the
    // results within 16 bytes then leaves them in order.
    uint64_t lane[kLanes];
    for (int i = 0; i < kLanes; ++i) {
      lane[i] = static_cast<uint64_t>(i / 2 + i % 2 * (kLanes / 2));
    }
    std::memcpy(&lanes_, lane, sizeof lane);
  }

  // words[i] = word i of the blocks from `block` on, i < count; whole turns are written.
  void draw(uint64_t block, int64_t count, uint32_t* words) const {
    const Wide low = Wide{} + 0xFFFFFFFFu;
    for (int64_t done = 0; done < count; done += kTurn, block += kLanes * kChains) {
      Wide c0[kChains], c1[kChains], c2[kChains], c3[kChains];
#pragma GCC unroll 4
      for (int g = 0; g < kChains; ++g) {
        c0[g] = lanes_ + (block + static_cast<uint64_t>(g * kLanes));
        c1[g] = c0[g] >> 32;
        c2[g] = stream_[0];
        c3[g] = stream_[1];
      }
#pragma GCC unroll 10
      for (int round = 0; round < 10; ++round) {
#pragma GCC unroll 4
        for (int g = 0; g < kChains; ++g) {
          const Wide p0 = multiply_low_halves(c0[g], kPhiloxM0);
          const Wide p1 = multiply_low_halves(c2[g], kPhiloxM1);
          c0[g] = (p1 >> 32) ^ c1[g] ^ keys_[round][0];
          c2[g] = (p0 >> 32) ^ c3[g] ^ keys_[round][1];
          c1[g] = p1;
          c3[g] = p0;
        }
      }
#pragma GCC unroll 4
      for (int g = 0; g < kChains; ++g) {
        const Wide front = (c0[g] & low) | (c1[g] << 32), back = (c2[g] & low) | (c3[g] << 32);
        const Wide pair[2] = {interleave_low(front, back), interleave_high(front, back)};
        std::memcpy(words + done + g * 4 * kLanes, pair, sizeof pair);
      }
    }
  }

 private:
  Wide keys_[10][2];
  Wide stream_[2];
  Wide lanes_;
};

}  // namespace pyllm::PYLLM_ISA
