// The two products of attention, on fragments of M times 16 rows a warp: of each 16, lane l holds
// rows g and g + 8, g = l / 4, and columns 8 n + 2 (l % 4) and the next of each run of eight (the
// accumulators of mma.m16n8k16).
//
//   add_scores    s += a b^T     a: rows of a shared tile, b: N rows of another, both D long
//   add_weighted  out += s b     s: fragments as above, b: N rows, C of their columns
//
// What is read of b serves all M: the larger M, the less shared memory is read for a product.
//
// float16 and bfloat16 go to the tensor cores; s is rounded to the type for the second product.
// float32 is multiplied as it is, not as tf32, whose 10 bits of mantissa are no float32: every lane
// forms its own elements by fma, and gets the s of its row from the lanes that hold them.
#pragma once

#include "attention_tiles.cuh"

namespace pyllm::cuda {

template <int M, int N>
using Fragments = float[M][N / 8][4];

// Rows of a shared tile as the left operand; kHold: their fragments stay in registers.
template <class T, int D, int M = 1, bool kHold = false>
class LeftRows {
 public:
  // From the first of the rows.
  PYLLM_DEVICE explicit LeftRows(const dev::Shared<T>& tile)
      : rows_(tile + (threadIdx.x % 16 * kPitch + threadIdx.x % 32 / 16 * 8)) {}

  PYLLM_DEVICE void hold() {
    if constexpr (kHold) {
#pragma unroll
      for (int m = 0; m < M; ++m) {
#pragma unroll
        for (int d = 0; d < D / 16; ++d) {
          dev::ldmatrix_x4(held_[m][d], rows_ + (m * 16 * kPitch + d * 16));
        }
      }
    }
  }
  PYLLM_DEVICE void fragment(uint32_t (&r)[4], int m, int d) const {
    if constexpr (kHold) {
#pragma unroll
      for (int i = 0; i < 4; ++i) r[i] = held_[m][d][i];
    } else {
      dev::ldmatrix_x4(r, rows_ + (m * 16 * kPitch + d * 16));
    }
  }

 private:
  static constexpr int kPitch = kTilePitch<T, D>;
  dev::Shared<T> rows_;
  uint32_t held_[kHold ? M : 1][kHold ? D / 16 : 1][4];
};

// float32 keeps nothing in registers: a lane needs whole rows.
template <int D, int M, bool kHold>
class LeftRows<float, D, M, kHold> {
 public:
  PYLLM_DEVICE explicit LeftRows(const dev::Shared<float>& tile)
      : row_(tile + threadIdx.x % 32 / 4 * kPitch) {}
  PYLLM_DEVICE void hold() {}
  // Four elements of row g or g + 8.
  PYLLM_DEVICE dev::Vec<float, 4> part(int m, int half, int d) const {
    return dev::lds((row_ + ((m * 16 + half * 8) * kPitch + d)).template as<dev::Vec<float, 4>>());
  }

 private:
  static constexpr int kPitch = kTilePitch<float, D>;
  dev::Shared<float> row_;
};

template <class T, int D, int N, int M, bool kHold>
PYLLM_DEVICE void add_scores(Fragments<M, N>& s, const LeftRows<T, D, M, kHold>& a,
                             const dev::Shared<T>& b) {
  constexpr int kPitch = kTilePitch<T, D>;
  const int lane = threadIdx.x % 32;
  if constexpr (sizeof(T) == 2) {
    // b is (N, D) in memory, which is what the columns of mma's b want untransposed.
    const auto rows = b + ((lane % 8 + lane / 16 * 8) * kPitch + lane / 8 % 2 * 8);
#pragma unroll
    for (int d = 0; d < D / 16; ++d) {
      uint32_t left[M][4];
#pragma unroll
      for (int m = 0; m < M; ++m) a.fragment(left[m], m, d);
#pragma unroll
      for (int n = 0; n < N / 16; ++n) {
        uint32_t r[4];
        dev::ldmatrix_x4(r, rows + (n * 16 * kPitch + d * 16));
        const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
#pragma unroll
        for (int m = 0; m < M; ++m) {
          dev::mma_m16n8k16<T>(s[m][2 * n], left[m], low);
          dev::mma_m16n8k16<T>(s[m][2 * n + 1], left[m], high);
        }
      }
    }
  } else {
    using Four = dev::Vec<T, 4>;
    const auto rows = b + lane % 4 * 2 * kPitch;
#pragma unroll 1
    for (int d = 0; d < D; d += 4) {
      Four left[M][2];
#pragma unroll
      for (int m = 0; m < M; ++m) {
        left[m][0] = a.part(m, 0, d);
        left[m][1] = a.part(m, 1, d);
      }
#pragma unroll
      for (int n = 0; n < N / 8; ++n) {
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const Four right = dev::lds((rows + ((n * 8 + j) * kPitch + d)).template as<Four>());
#pragma unroll
          for (int i = 0; i < 2 * M; ++i) {
            float& sum = s[i / 2][n][i % 2 * 2 + j];
#pragma unroll
            for (int k = 0; k < 4; ++k) {
              sum = dev::fma(left[i / 2][i % 2].v[k], right.v[k], sum);
            }
          }
        }
      }
    }
  }
}

template <class T, int D, int N, int C, int M>
PYLLM_DEVICE void add_weighted(Fragments<M, C>& out, const Fragments<M, N>& s,
                               const dev::Shared<T>& b, int column) {
  constexpr int kPitch = kTilePitch<T, D>;
  const int lane = threadIdx.x % 32;
  if constexpr (sizeof(T) == 2) {
    // The accumulators of the first product are laid out as the left operand of the second; b is
    // read transposed.
    const auto rows = b + (lane % 16 * kPitch + lane / 16 * 8 + column);
#pragma unroll
    for (int n = 0; n < N / 16; ++n) {
      uint32_t left[M][4];
#pragma unroll
      for (int m = 0; m < M; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float* pair = &s[m][2 * n + i / 2][i % 2 * 2];
          left[m][i] = dev::pack2<T>(pair[0], pair[1]);
        }
      }
#pragma unroll
      for (int c = 0; c < C / 16; ++c) {
        uint32_t r[4];
        dev::ldmatrix_x4_trans(r, rows + (n * 16 * kPitch + c * 16));
        const uint32_t low[2] = {r[0], r[1]}, high[2] = {r[2], r[3]};
#pragma unroll
        for (int m = 0; m < M; ++m) {
          dev::mma_m16n8k16<T>(out[m][2 * c], left[m], low);
          dev::mma_m16n8k16<T>(out[m][2 * c + 1], left[m], high);
        }
      }
    }
  } else {
    using Pair = dev::Vec<T, 2>;
    const auto rows = b + (lane % 4 * 2 + column);
#pragma unroll
    for (int n = 0; n < N / 8; ++n) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        const int holder = lane / 4 * 4 + j / 2;
        float left[M][2];
#pragma unroll
        for (int i = 0; i < 2 * M; ++i) {
          left[i / 2][i % 2] = __shfl_sync(dev::kFullMask, s[i / 2][n][i % 2 * 2 + j % 2], holder);
        }
#pragma unroll
        for (int c = 0; c < C / 8; ++c) {
          const Pair v = dev::lds((rows + ((n * 8 + j) * kPitch + c * 8)).template as<Pair>());
#pragma unroll
          for (int i = 0; i < 4 * M; ++i) {
            float& sum = out[i / 4][c][i % 4];
            sum = dev::fma(left[i / 4][i % 4 / 2], v.v[i % 2], sum);
          }
        }
      }
    }
  }
}

}  // namespace pyllm::cuda
