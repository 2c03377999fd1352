#include "cpu/optim/quantize.h"

#include <algorithm>

#include "core/parallel.h"
#include "cpu/optim/blockwise.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 64;  // blocks

}  // namespace

void quantize_blockwise(const Array& x, bool is_signed, const Array& codes, const Array& scale) {
  const int64_t n = x.size();
  parallel_for(blocks_of(n), kGrain, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t start = block * kBlock, count = std::min(kBlock, n - start);
      float values[kBlock] = {};
      uint8_t bytes[kBlock];
      std::copy_n(x.as<float>() + start, count, values);
      scale.as<float>()[block] = encode_block(values, is_signed, bytes);
      std::copy_n(bytes, count, codes.as<uint8_t>() + start);
    }
  });
}

void dequantize_blockwise(const Array& codes, const Array& scale, bool is_signed, const Array& x) {
  const int64_t n = x.size();
  parallel_for(blocks_of(n), kGrain, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t start = block * kBlock, count = std::min(kBlock, n - start);
      float values[kBlock];
      uint8_t bytes[kBlock] = {};
      std::copy_n(codes.as<uint8_t>() + start, count, bytes);
      decode_block(bytes, scale.as<float>()[block], is_signed, values);
      std::copy_n(values, count, x.as<float>() + start);
    }
  });
}

}  // namespace pyllm::PYLLM_ISA
