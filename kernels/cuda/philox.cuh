// Philox4x32-10 (Salmon et al., SC 2011) in the stream layout of csrc/core/philox.h: the words of
// elements 4 b to 4 b + 3 of a stream come from counter (b, stream) under key `seed`, so that every
// back end drops the same elements.
#pragma once

#include "device.cuh"

namespace pyllm::cuda {

struct PhiloxWords {
  uint32_t v[4];
};

PYLLM_DEVICE PhiloxWords philox(uint64_t seed, uint64_t stream, uint64_t block) {
  uint32_t c[4] = {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                   static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  constexpr uint32_t kM0 = 0xD2511F53, kM1 = 0xCD9E8D57, kW0 = 0x9E3779B9, kW1 = 0xBB67AE85;
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint32_t high0 = __umulhi(kM0, c[0]), high1 = __umulhi(kM1, c[2]);
    const uint32_t low0 = kM0 * c[0], low1 = kM1 * c[2];
    c[0] = high1 ^ c[1] ^ k0;
    c[1] = low1;
    c[2] = high0 ^ c[3] ^ k1;
    c[3] = low0;
    k0 += kW0;
    k1 += kW1;
  }
  return {{c[0], c[1], c[2], c[3]}};
}

}  // namespace pyllm::cuda
