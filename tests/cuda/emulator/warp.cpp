#include "warp.h"

#include <array>
#include <string>

#include "bytes.h"
#include "sanitizers.h"
#include "traffic.h"

namespace emu {
namespace {

constexpr uint32_t kFullMask = 0xFFFFFFFFu;

void check_mask(const Warp& warp, uint32_t mask, const char* operation, Site site) {
  const std::string name = operation;
  if (!(mask >> current->lane & 1)) {
    report("warp mask", name + ": the calling lane is not in its mask", site);
  }
  if (mask & ~warp.existing) {
    report("warp mask", name + ": the mask names lanes that the block does not have", site);
  }
  if (mask & warp.exited) {
    report("warp mask", name + ": the mask names a lane that has exited", site);
  }
}

Rendezvous& join(Warp& warp, uint32_t mask, const char* operation, Site site) {
  for (Rendezvous& r : warp.open) {
    if (!(r.mask & mask)) continue;
    if (r.mask != mask || r.operation != operation || r.site.line() != site.line() ||
        r.site.file_name() != site.file_name()) {
      report("divergent warp",
             std::string(operation) +
                 ": lanes of a mask wait at different collectives (the other is " + r.operation +
                 " at line " + std::to_string(r.site.line()) + ")",
             site);
    }
    return r;
  }
  const ForgetAccesses forget;
  return warp.open.emplace_back(Rendezvous{mask, 0, operation, site});
}

// Waits until all lanes of the mask are here; the last one runs `combine` over the warp's operands.
template <class Combine>
void collective(uint32_t mask, void* operand, const char* operation, Site site, Combine&& combine) {
  Warp& warp = block.warps[current->warp];
  check_mask(warp, mask, operation, site);
  current->operand = operand;
  Rendezvous& r = join(warp, mask, operation, site);
  r.arrived |= 1u << current->lane;
  if (r.arrived != mask) return wait(ThreadState::in_collective, operation, site);
  {
    const ForgetAccesses forget;
    warp.open.erase(warp.open.begin() + (&r - warp.open.data()));
  }
  combine(warp);
  for (int lane = 0; lane < 32; ++lane) {
    if (mask >> lane & 1) warp.lanes[lane]->state = ThreadState::ready;
  }
}

struct ShuffleOperand {
  unsigned char* value;
  Shuffle kind;
  int argument, width;
};

// The lane a shuffle reads from: its own where the source falls out of the segment.
int source_lane(int lane, const ShuffleOperand& s) {
  const int segment = lane & ~(s.width - 1), end = segment + s.width;
  switch (s.kind) {
    case Shuffle::index:
      return segment + (s.argument & (s.width - 1));
    case Shuffle::up:
      return lane - s.argument < segment ? lane : lane - s.argument;
    case Shuffle::down:
      return lane + s.argument >= end ? lane : lane + s.argument;
    case Shuffle::exclusive_or:
      return (lane ^ s.argument) >= end ? lane : lane ^ s.argument;
  }
  __builtin_unreachable();
}

template <class Operand>
Operand& operand_of(const Warp& warp, int lane) {
  return *static_cast<Operand*>(warp.lanes[lane]->operand);
}

}  // namespace

void sync_warp(uint32_t mask, Site site) {
  Warp& warp = block.warps[current->warp];
  char* fence = &warp.fence[warp.fence_phase % 2];
  release(fence);
  collective(mask, nullptr, "__syncwarp", site, [](Warp& w) { ++w.fence_phase; });
  acquire(fence);
}

void shuffle(uint32_t mask, void* value, size_t bytes, Shuffle kind, int argument, int width,
             Site site) {
  ShuffleOperand operand{static_cast<unsigned char*>(value), kind, argument, width};
  collective(mask, &operand, "__shfl_sync", site, [&](Warp& warp) {
    std::array<std::array<unsigned char, 8>, 32> values;
    for (int lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1) {
        move_bytes(values[lane].data(), operand_of<ShuffleOperand>(warp, lane).value, bytes);
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      if (!(mask >> lane & 1)) continue;
      ShuffleOperand& s = operand_of<ShuffleOperand>(warp, lane);
      const int source = source_lane(lane, s);
      if (!(mask >> source & 1)) {
        report(
            "warp mask",
            "__shfl_sync reads from lane " + std::to_string(source) + ", which is not in the mask",
            site);
      }
      move_bytes(s.value, values[source].data(), bytes);
    }
  });
}

uint32_t ballot(uint32_t mask, bool predicate, Site site) {
  struct Operand {
    bool predicate;
    uint32_t result;
  } operand{predicate, 0};
  collective(mask, &operand, "__ballot_sync", site, [&](Warp& warp) {
    uint32_t votes = 0;
    for (int lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1 && operand_of<Operand>(warp, lane).predicate) votes |= 1u << lane;
    }
    for (int lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1) operand_of<Operand>(warp, lane).result = votes;
    }
  });
  return operand.result;
}

// PTX ISA, "ldmatrix": lanes 8m to 8m + 7 bring the rows of matrix m; lane l gets elements
// (l / 4, 2 (l % 4)) and the one right of it, or, transposed, those of the mirrored matrix.
void ldmatrix_x4(uint32_t (&result)[4], const uint32_t (&row)[4], bool transpose, Site site) {
  struct Operand {
    uint32_t* result;
    const uint32_t* row;
  } operand{result, row};
  collective(kFullMask, &operand, "ldmatrix", site, [&](Warp& warp) {
    uint16_t tiles[4][8][8];
    for (int lane = 0; lane < 32; ++lane) {
      move_bytes(tiles[lane / 8][lane % 8], operand_of<Operand>(warp, lane).row, 16);
    }
    for (int lane = 0; lane < 32; ++lane) {
      const int row_index = lane / 4, column = lane % 4 * 2;
      for (int m = 0; m < 4; ++m) {
        const uint16_t low = transpose ? tiles[m][column][row_index] : tiles[m][row_index][column];
        const uint16_t high =
            transpose ? tiles[m][column + 1][row_index] : tiles[m][row_index][column + 1];
        operand_of<Operand>(warp, lane).result[m] = low | uint32_t{high} << 16;
      }
    }
  });
}

// PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type"; sums in float32 from k = 0
// up, which is one of the orders that the hardware may use.
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  float (*widen)(uint16_t), Site site) {
  struct Operand {
    float* d;
    const uint32_t *a, *b;
  } operand{d, a, b};
  collective(kFullMask, &operand, "mma", site, [&](Warp& warp) {
    traffic::mma();
    float left[16][16], right[16][8], sum[16][8] = {};
    for (int lane = 0; lane < 32; ++lane) {
      const Operand& o = operand_of<Operand>(warp, lane);
      const int group = lane / 4, pair = lane % 4 * 2;
      for (int i = 0; i < 8; ++i) {
        const uint16_t bits = static_cast<uint16_t>(o.a[i / 2] >> 16 * (i % 2));
        left[group + 8 * (i / 2 % 2)][pair + i % 2 + 8 * (i / 4)] = widen(bits);
      }
      for (int i = 0; i < 4; ++i) {
        const uint16_t bits = static_cast<uint16_t>(o.b[i / 2] >> 16 * (i % 2));
        right[pair + i % 2 + 8 * (i / 2)][group] = widen(bits);
      }
    }
    for (int i = 0; i < 16; ++i) {
      for (int k = 0; k < 16; ++k) {
        for (int j = 0; j < 8; ++j) sum[i][j] += left[i][k] * right[k][j];
      }
    }
    for (int lane = 0; lane < 32; ++lane) {
      const int group = lane / 4, pair = lane % 4 * 2;
      for (int i = 0; i < 4; ++i) {
        operand_of<Operand>(warp, lane).d[i] += sum[group + 8 * (i / 2)][pair + i % 2];
      }
    }
  });
}

}  // namespace emu
