// Kernels that are right with bug = 0 and wrong in one way with bug = 1. They are how we know that
// the emulator's checks still work: each bug must be caught, and by the check meant for it.
#include "bugs.h"
#include "device.cuh"

using namespace pyllm;

#define PLANTED(name, threads, blocks, shared_bytes)                                              \
  __global__ void name##_kernel(PlantedArgs a);                                                   \
  extern "C" cudaError_t planted_##name(const PlantedArgs* args, cudaStream_t stream) {           \
    return PYLLM_LAUNCH(name##_kernel, dim3(blocks), dim3(threads), shared_bytes, stream, *args); \
  }                                                                                               \
  __global__ void name##_kernel([[maybe_unused]] PlantedArgs a)

// Write, barrier, read another thread's element.
PLANTED(missing_barrier, 64, 1, 0) {
  PYLLM_SHARED(float, s, 64);
  const int t = threadIdx.x;
  dev::sts(s + t, dev::ldg(a.x + t));
  if (a.bug) {
    dev::sts(s + t, dev::ldg(a.x + t));
    // Only the other warp's elements are unordered.
    __syncwarp();
    if (t >= 32) dev::stg(a.y + t, dev::lds(s + (t - 32)));
    return;
  }
  __syncthreads();
  dev::stg(a.y + t, dev::lds(s + (63 - t)));
}

// Everyone reads s[0]; without a second barrier thread 0 may overwrite it first.
PLANTED(write_after_read, 64, 1, 0) {
  PYLLM_SHARED(float, s, 64);
  const int t = threadIdx.x;
  dev::sts(s + t, dev::ldg(a.x + t));
  __syncthreads();
  const float first = dev::lds(s);
  if (!a.bug) __syncthreads();
  dev::sts(s + t, first + t);
  __syncthreads();
  dev::stg(a.y + t, dev::lds(s + (63 - t)));
}

// A shuffle makes lanes meet, but does not order their memory accesses.
PLANTED(shuffle_is_no_fence, 32, 1, 0) {
  PYLLM_SHARED(float, s, 32);
  const int t = threadIdx.x;
  dev::sts(s + t, dev::ldg(a.x + t));
  const float other = __shfl_xor_sync(dev::kFullMask, dev::ldg(a.x + t), 1);
  if (!a.bug) __syncwarp();
  dev::stg(a.y + t, other + dev::lds(s + (t ^ 1)));
}

// All lanes read what lane 0 then writes: a shuffle between does not order that either.
PLANTED(overwritten_scale, 32, 1, 0) {
  const int t = threadIdx.x;
  const float own = t == 0 || a.bug ? dev::ldg(a.y) : 0.0f;
  const float scale = __shfl_sync(dev::kFullMask, own, 0);
  if (t == 0) {
    dev::stg(a.y, scale + 1.0f);
  } else {
    dev::stg(a.y + t, scale);
  }
}

// Results of half the width take the place of inputs that a slower warp has yet to read.
PLANTED(narrowed_in_place, 64, 1, 0) {
  const int t = threadIdx.x;
  const float value = dev::ldg(a.y + t);
  if (!a.bug) __syncthreads();
  dev::stg(reinterpret_cast<dev::half_t*>(a.y) + t, dev::from_float<dev::half_t>(value));
}

// Two warps run a double-buffered loop; without the barrier at its tail the faster one overwrites
// what the slower one still reads.
PLANTED(missing_tail_barrier, 64, 1, 0) {
  PYLLM_SHARED(float, s, 128);
  const int t = threadIdx.x;
  float sum = 0;
  for (int i = 0; i < 4; ++i) {
    dev::sts(s + (i % 2 * 64 + t), dev::ldg(a.x + t) * static_cast<float>(i));
    __syncthreads();
    sum += dev::lds(s + (i % 2 * 64 + 63 - t));
    if (!a.bug || i % 2 == 0) {
      __syncthreads();
    } else if (t >= 32) {
      dev::sts(s + (i % 2 * 64 + t), -1.0f);
    }
  }
  dev::stg(a.y + t, sum);
}

// Blocks that add to one address, at different and at the same thread index.
PLANTED(race_between_blocks, 32, 2, 0) {
  if (threadIdx.x != blockIdx.x) return;
  if (a.bug) {
    dev::stg(a.y, dev::ldg(a.y) + 1.0f);
  } else {
    dev::atomic_add(a.y, 1.0f);
  }
}
PLANTED(race_at_same_thread, 32, 2, 0) {
  if (threadIdx.x != 0) return;
  if (a.bug) {
    dev::stg(a.y, dev::ldg(a.y) + 1.0f);
  } else {
    dev::atomic_add(a.y, 1.0f);
  }
}

// A race that goes past the vocabulary, through a bare pointer.
PLANTED(raw_pointer_race, 64, 1, 0) {
  if (a.bug) {
    a.y[0] = static_cast<float>(threadIdx.x);
  } else {
    a.y[threadIdx.x] = 1.0f;
  }
}

PLANTED(shared_overrun, 32, 1, 0) {
  PYLLM_SHARED(float, s, 33);
  dev::sts(s + static_cast<int>(threadIdx.x) + (a.bug ? 2 : 1), 1.0f);
}
PLANTED(part_overrun, 32, 1, 512) {
  PYLLM_DYNAMIC_SHARED(float, all);
  const auto first = all.part(32);
  dev::sts(first + static_cast<int>(threadIdx.x) + (a.bug ? 1 : 0), 1.0f);
}
PLANTED(global_overrun, 64, 1, 0) {
  dev::stg(a.y + threadIdx.x + (a.bug ? 1 : 0), 0.0f);
}
PLANTED(global_underrun, 64, 1, 0) {
  dev::stg(a.y + threadIdx.x, dev::ldg(a.x + threadIdx.x - (a.bug ? 1 : 0)));
}
PLANTED(raw_pointer_overrun, 64, 1, 0) {
  a.y[threadIdx.x + (a.bug ? 1 : 0)] = 0.0f;
}
PLANTED(write_to_input, 32, 1, 0) {
  dev::stg((a.bug ? const_cast<float*>(a.x) : a.y) + threadIdx.x, 1.0f);
}
PLANTED(misaligned_global, 1, 1, 0) {
  const auto* wide = reinterpret_cast<const dev::Vec<float, 4>*>(a.x + (a.bug ? 1 : 0));
  dev::stg(a.y, dev::ldg(wide).v[0]);
}
PLANTED(misaligned_shared, 1, 1, 0) {
  PYLLM_SHARED(float, s, 8);
  for (int i = 0; i < 8; ++i) dev::sts(s + i, 1.0f);
  dev::stg(a.y, dev::lds((s + (a.bug ? 1 : 0)).as<dev::Vec<float, 4>>()).v[0]);
}

PLANTED(unwritten_shared, 32, 1, 0) {
  PYLLM_SHARED(float, s, 32);
  if (!a.bug || threadIdx.x != 7) dev::sts(s + threadIdx.x, 1.0f);
  __syncthreads();
  dev::stg(a.y + threadIdx.x, dev::lds(s + threadIdx.x));
}

PLANTED(divergent_barrier, 32, 1, 0) {
  if (a.bug && threadIdx.x < 16) {
    __syncthreads();
  } else {
    dev::stg(a.y + threadIdx.x, 0.0f);
    __syncthreads();
  }
}
PLANTED(exit_before_barrier, 32, 1, 0) {
  if (a.bug && threadIdx.x == 3) return;
  __syncthreads();
}
PLANTED(barrier_against_collective, 32, 1, 0) {
  if (a.bug && threadIdx.x == 3) {
    __syncthreads();
  } else if (a.bug) {
    __syncwarp();
  }
  __syncthreads();
}

PLANTED(mask_names_exited_lane, 32, 1, 0) {
  if (a.bug && threadIdx.x >= 16) return;
  dev::stg(a.y + threadIdx.x, __shfl_xor_sync(dev::kFullMask, 1.0f, 1));
}
PLANTED(lane_not_in_mask, 32, 1, 0) {
  __syncwarp(a.bug ? 0xFFFFu : dev::kFullMask);
}
PLANTED(shuffle_from_outside_mask, 32, 1, 0) {
  if (threadIdx.x >= 16) return;
  dev::stg(a.y + threadIdx.x, __shfl_xor_sync(0xFFFFu, 1.0f, a.bug ? 16 : 1));
}
PLANTED(lanes_at_different_collectives, 32, 1, 0) {
  if (a.bug && threadIdx.x < 16) {
    dev::stg(a.y + threadIdx.x, __shfl_xor_sync(dev::kFullMask, 1.0f, 1));
  } else {
    dev::stg(a.y + threadIdx.x, __shfl_xor_sync(dev::kFullMask, 1.0f, 1));
  }
}

PLANTED(unwaited_copy, 32, 1, 0) {
  PYLLM_SHARED(float, s, 128);
  const int t = threadIdx.x;
  dev::cp_async16(s + 4 * t, a.x);
  dev::cp_commit();
  if (!a.bug) dev::cp_wait<0>();
  __syncthreads();
  dev::stg(a.y + t, dev::lds(s + t));
  dev::cp_wait<0>();
}
PLANTED(wait_one_group_short, 32, 1, 0) {
  PYLLM_SHARED(float, s, 256);
  const int t = threadIdx.x;
  dev::cp_async16(s + 4 * t, a.x);
  dev::cp_commit();
  dev::cp_async16(s + (128 + 4 * t), a.x);
  dev::cp_commit();
  if (a.bug) {
    dev::cp_wait<1>();
  } else {
    dev::cp_wait<0>();
  }
  __syncthreads();
  dev::stg(a.y + t, dev::lds(s + (128 + t)));
  dev::cp_wait<0>();
}
PLANTED(copy_in_flight_at_exit, 32, 1, 0) {
  PYLLM_SHARED(float, s, 128);
  dev::cp_async16(s + 4 * static_cast<int>(threadIdx.x), a.x);
  dev::cp_commit();
  if (!a.bug) dev::cp_wait<0>();
}
// The wait is the issuing thread's own; others need a barrier after it.
PLANTED(copy_waited_without_barrier, 64, 1, 0) {
  PYLLM_SHARED(float, s, 256);
  const int t = threadIdx.x;
  dev::cp_async16(s + 4 * t, a.x);
  dev::cp_commit();
  dev::cp_wait<0>();
  if (!a.bug) __syncthreads();
  if (a.bug && t < 32) return;
  dev::stg(a.y + t, dev::lds(s + 4 * (63 - t)));
}
// More rows in a bin than its 32 bits hold.
PLANTED(overflowing_sum, 32, 1, 0) {
  PYLLM_SHARED(int32_t, sum, 1);
  if (threadIdx.x == 0) dev::sts(sum, 0);
  __syncthreads();
  dev::atomic_add(sum, 1 << (a.bug ? 26 : 25));
  __syncthreads();
  if (threadIdx.x == 0) dev::stg(a.y, static_cast<float>(dev::lds(sum)));
}
// Right as a set, in an order that depends on who comes first.
PLANTED(rank_by_atomics, 64, 1, 0) {
  PYLLM_SHARED(int, next, 1);
  const int t = threadIdx.x;
  if (t == 0) dev::sts(next, 0);
  __syncthreads();
  const int rank = a.bug ? dev::atomic_add(next, 1) : t;
  dev::stg(a.y + rank, dev::ldg(a.x + t));
}
// Right but for its last bits, which depend on who comes first.
PLANTED(float_sum_by_atomics, 64, 1, 0) {
  const int t = threadIdx.x;
  const float x = (t % 2 == 0 ? 1.0f : -1.0f) * dev::exp(dev::ldg(a.x + t) * 0.125f);
  if (a.bug) {
    dev::atomic_add(a.y, x);
  } else {
    dev::atomic_add(reinterpret_cast<int32_t*>(a.y), static_cast<int32_t>(x * 256.0f));
  }
}
// A tile is reused, for results, while a copy into it is still under way.
PLANTED(write_over_copy, 32, 1, 0) {
  PYLLM_SHARED(float, s, 128);
  const int t = threadIdx.x;
  dev::cp_async16(s + 4 * t, a.x);
  dev::cp_commit();
  if (!a.bug) dev::cp_wait<0>();
  dev::sts(s + 4 * t, 1.0f);
  dev::cp_wait<0>();
  dev::stg(a.y + t, dev::lds(s + 4 * t));
}
// Rows that are no multiple of 16 bytes, copied as if they were.
PLANTED(misaligned_copy, 32, 1, 0) {
  PYLLM_SHARED(float, s, 128);
  const int t = threadIdx.x;
  dev::cp_async16(s + 4 * t, a.x + (a.bug ? 2 : 4));
  dev::cp_commit();
  dev::cp_wait<0>();
}
// A pitch that puts every other row of a tile between two 16-byte units.
PLANTED(misaligned_ldmatrix, 32, 1, 0) {
  const int pitch = a.bug ? 10 : 12;
  PYLLM_SHARED(float, s, 32 * 12);
  const int t = threadIdx.x;
  for (int i = t; i < 32 * 12; i += 32) dev::sts(s + i, 0.0f);
  __syncwarp();
  uint32_t r[4];
  dev::ldmatrix_x4(r, (s + t * pitch).as<dev::half_t>());
  dev::stg(a.y + t, static_cast<float>(r[0]));
}
// Each warp has a part of shared memory of its own, and needs no barrier there: if they are apart.
PLANTED(parts_of_warps_overlap, 64, 1, 0) {
  PYLLM_SHARED(float, s, 64);
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const auto part = s + warp * (a.bug ? 31 : 32);
  dev::sts(part + lane, 1.0f);
  __syncwarp();
  dev::stg(a.y + threadIdx.x, dev::lds(part + (31 - lane)));
}
// A warp that has nothing to do in a round goes on to the next, past the barrier at the tail.
PLANTED(round_skipped_by_a_warp, 64, 1, 0) {
  PYLLM_SHARED(float, s, 64);
  const int t = threadIdx.x;
  float sum = 0.0f;
  for (int round = 0; round < 3; ++round) {
    dev::sts(s + t, dev::ldg(a.x + t));
    __syncthreads();
    const bool idle = round == 1 && t >= 32;
    if (idle && a.bug) continue;
    if (!idle) sum += dev::lds(s + (63 - t));
    __syncthreads();
  }
  dev::stg(a.y + t, sum);
}
// Right in value, slow on the hardware: all lanes in one bank.
PLANTED(bank_conflict, 32, 1, 0) {
  const int stride = a.bug ? 32 : 33;
  PYLLM_SHARED(float, s, 33 * 32);
  const int t = threadIdx.x;
  for (int i = 0; i < 32; ++i) dev::sts(s + (i * stride + t), 1.0f);
  __syncwarp();
  float sum = 0;
  for (int i = 0; i < 32; ++i) sum += dev::lds(s + (t * stride + i));
  dev::stg(a.y + t, sum);
}
// Right in value, four times the traffic: neighbouring lanes read 32 bytes apart.
PLANTED(uncoalesced, 8, 1, 0) {
  dev::stg(a.y + threadIdx.x, dev::ldg(a.x + (a.bug ? 8 : 1) * threadIdx.x));
}
