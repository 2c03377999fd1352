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
      const float* values = x.as<float>() + start;
      float whole[kBlock] = {};
      if (count < kBlock) values = std::copy_n(values, count, whole) - count;
      scale.as<float>()[block] = block_scale(values, is_signed);
      encode_block(values, scale.as<float>()[block], is_signed, codes.as<uint8_t>() + start, count);
    }
  });
}

void dequantize_blockwise(const Array& codes, const Array& scale, bool is_signed, const Array& x) {
  const int64_t n = x.size();
  parallel_for(blocks_of(n), kGrain, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t start = block * kBlock, count = std::min(kBlock, n - start);
      float* values = x.as<float>() + start;
      float whole[kBlock];
      decode_block(codes.as<uint8_t>() + start, count, scale.as<float>()[block], is_signed,
                   count < kBlock ? whole : values);
      if (count < kBlock) std::copy_n(whole, count, values);
    }
  });
}

}  // namespace pyllm::PYLLM_ISA
