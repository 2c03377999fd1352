// The two products of attention, on fragments of 16 rows a warp: lane l holds rows g and g + 8,
// g = l / 4, and columns 8 n + 2 (l % 4) and the next of each run of eight (the accumulators of
// mma.m16n8k16).
//
//   add_scores    s += a b^T     a: 16 rows of a shared tile, b: N rows of another, both D long
//   add_weighted  out += s b     s: fragments as above, b: N rows, C of their columns
//
// float16 and bfloat16 go to the tensor cores; s is rounded to the type for the second product.
// float32 is multiplied as it is, not as tf32, whose 10 bits of mantissa are no float32: every lane
// forms its own elements by fma, and gets the s of its row from the lanes that hold them.
#pragma once

#include "attention_tiles.cuh"

namespace pyllm::cuda {

// 16 rows of a shared tile as the left operand; kHold: their fragments stay in registers.
template <class T, int D, bool kHold>
class LeftRows {
 public:
  // From the first of the rows.
  PYLLM_DEVICE explicit LeftRows(const dev::Shared<T>& tile)
      : rows_(tile + (threadIdx.x % 16 * kTilePitch<T, D> + threadIdx.x % 32 / 16 * 8)) {}

  PYLLM_DEVICE void hold() {
    if constexpr (kHold) {
#pragma unroll
      for (int d = 0; d < D / 16; ++d) dev::ldmatrix_x4(held_[d], rows_ + d * 16);
    }
  }
  PYLLM_DEVICE void fragment(uint32_t (&r)[4], int d) const {
    if constexpr (kHold) {
#pragma unroll
      for (int i = 0; i < 4; ++i) r[i] = held_[d][i];
    } else {
      dev::ldmatrix_x4(r, rows_ + d * 16);
    }
  }

 private:
  dev::Shared<T> rows_;
  uint32_t held_[kHold ? D / 16 : 1][4];
};

// float32 keeps nothing in registers: a lane needs whole rows.
template <int D, bool kHold>
class LeftRows<float, D, kHold> {
 public:
  PYLLM_DEVICE explicit LeftRows(const dev::Shared<float>& tile)
      : row_(tile + threadIdx.x % 32 / 4 * kTilePitch<float, D>) {}
  PYLLM_DEVICE void hold() {}
  PYLLM_DEVICE dev::Vec<float, 4> part(int half, int d) const {
    return dev::lds(
        (row_ + (half * 8 * kTilePitch<float, D> + d)).template as<dev::Vec<float, 4>>());
  }

 private:
  dev::Shared<float> row_;
};

template <class T, int D, int N, bool kHold>
PYLLM_DEVICE void add_scores(float (&s)[N / 8][4], const LeftRows<T, D, kHold>& a,
                             const dev::Shared<T>& b) {
  constexpr int kPitch = kTilePitch<T, D>;
  const int lane = threadIdx.x % 32;
  if constexpr (sizeof(T) == 2) {
    // b is (N, D) in memory, which is what the columns of mma's b want untransposed.
    const auto rows = b + ((lane % 8 + lane / 16 * 8) * kPitch + lane / 8 % 2 * 8);
#pragma unroll
    for (int d = 0; d < D / 16; ++d) {
      uint32_t left[4];
      a.fragment(left, d);
#pragma unroll
      for (int n = 0; n < N / 16; ++n) {
        uint32_t r[4];
        dev::ldmatrix_x4(r, rows + (n * 16 * kPitch + d * 16));
        const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
        dev::mma_m16n8k16<T>(s[2 * n], left, low);
        dev::mma_m16n8k16<T>(s[2 * n + 1], left, high);
      }
    }
  } else {
    using Four = dev::Vec<T, 4>;
    const auto rows = b + lane % 4 * 2 * kPitch;
#pragma unroll 1
    for (int d = 0; d < D; d += 4) {
      const Four upper = a.part(0, d), lower = a.part(1, d);
#pragma unroll
      for (int n = 0; n < N / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const Four right = dev::lds((rows + ((n * 8 + j) * kPitch + d)).template as<Four>());
#pragma unroll
          for (int k = 0; k < 4; ++k) {
            s[n][j] = dev::fma(upper.v[k], right.v[k], s[n][j]);
            s[n][2 + j] = dev::fma(lower.v[k], right.v[k], s[n][2 + j]);
          }
        }
      }
    }
  }
}

template <class T, int D, int N, int C>
PYLLM_DEVICE void add_weighted(float (&out)[C / 8][4], const float (&s)[N / 8][4],
                               const dev::Shared<T>& b, int column) {
  constexpr int kPitch = kTilePitch<T, D>;
  const int lane = threadIdx.x % 32;
  if constexpr (sizeof(T) == 2) {
    // The accumulators of the first product are laid out as the left operand of the second; b is
    // read transposed.
    const auto rows = b + (lane % 16 * kPitch + lane / 16 * 8 + column);
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      const uint32_t left[4] = {dev::pack2<T>(s[2 * n][0], s[2 * n][1]),
                                dev::pack2<T>(s[2 * n][2], s[2 * n][3]),
                                dev::pack2<T>(s[2 * n + 1][0], s[2 * n + 1][1]),
                                dev::pack2<T>(s[2 * n + 1][2], s[2 * n + 1][3])};
#pragma unroll
      for (int c = 0; c < C / 16; ++c) {
        uint32_t r[4];
        dev::ldmatrix_x4_trans(r, rows + (n * 16 * kPitch + c * 16));
        const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
        dev::mma_m16n8k16<T>(out[2 * c], left, low);
        dev::mma_m16n8k16<T>(out[2 * c + 1], left, high);
      }
    }
  } else {
    const auto rows = b + (lane % 4 * 2 + column);
#pragma unroll
    for (int n = 0; n < N / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const int holder = lane / 4 * 4 + j / 2;
        const float upper = __shfl_sync(dev::kFullMask, s[n][j % 2], holder);
        const float lower = __shfl_sync(dev::kFullMask, s[n][2 + j % 2], holder);
#pragma unroll
        for (int c = 0; c < C / 8; ++c) {
          using Pair = dev::Vec<T, 2>;
          const Pair v = dev::lds((rows + ((n * 8 + j) * kPitch + c * 8)).template as<Pair>());
#pragma unroll
          for (int k = 0; k < 2; ++k) {
            out[c][k] = dev::fma(upper, v.v[k], out[c][k]);
            out[c][2 + k] = dev::fma(lower, v.v[k], out[c][2 + k]);
          }
        }
      }
    }
  }
}

}  // namespace pyllm::cuda
