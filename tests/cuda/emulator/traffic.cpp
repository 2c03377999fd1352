#include "traffic.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace emu::traffic {
namespace {

constexpr uintptr_t kSectorBytes = 32, kBankBytes = 4, kBanks = 32, kWavefrontBytes = 128;

struct Totals {
  uint64_t launches = 0, blocks = 0, threads = 0, dynamic_shared = 0;
  uint64_t global_read_bytes = 0, global_write_bytes = 0, sectors = 0, ideal_sectors = 0;
  uint64_t shared_bytes = 0, wavefronts = 0, ideal_wavefronts = 0;
  uint64_t barriers = 0, mma = 0, atomics = 0;
};

struct Piece {
  uintptr_t begin;
  size_t bytes;
};

// File, line, column and space: one access of the source. An asynchronous copy makes two.
using Place = std::tuple<const char*, unsigned, unsigned, Space>;
struct Instruction {
  Space space;
  bool write;
  std::map<std::pair<int, uint64_t>, std::map<int, Piece>> lanes;  // by warp and visit, by lane
};

std::vector<std::pair<std::string, Totals>> kernels;
std::map<Place, Instruction> instructions;
std::map<std::pair<Place, int>, uint64_t> visits;  // by thread

Totals& totals() {
  for (auto& [name, t] : kernels) {
    if (name == block.kernel) return t;
  }
  return kernels.emplace_back(block.kernel, Totals{}).second;
}

void count_global(const std::map<int, Piece>& lanes, Totals& t) {
  std::set<uintptr_t> sectors;
  std::vector<std::pair<uintptr_t, uintptr_t>> ranges;
  for (const auto& [lane, piece] : lanes) {
    const uintptr_t end = piece.begin + piece.bytes;
    for (uintptr_t s = piece.begin / kSectorBytes; s <= (end - 1) / kSectorBytes; ++s) {
      sectors.insert(s);
    }
    ranges.emplace_back(piece.begin, end);
  }
  std::sort(ranges.begin(), ranges.end());
  uintptr_t distinct = 0, covered = 0;
  for (const auto& [begin, end] : ranges) {
    if (end > covered) distinct += end - std::max(begin, covered);
    covered = std::max(covered, end);
  }
  t.sectors += sectors.size();
  t.ideal_sectors += (distinct + kSectorBytes - 1) / kSectorBytes;
}

// 32 lanes of 4 bytes go in one wavefront, of 8 in two halves, of 16 in four quarters.
void count_shared(const std::map<int, Piece>& lanes, Totals& t) {
  const size_t widest = std::max<size_t>(lanes.begin()->second.bytes, kBankBytes);
  const int lanes_together = static_cast<int>(kWavefrontBytes / widest);
  for (int first = 0; first < 32; first += lanes_together) {
    std::array<std::set<uintptr_t>, kBanks> words;
    size_t worst = 0;
    for (auto it = lanes.lower_bound(first); it != lanes.lower_bound(first + lanes_together);
         ++it) {
      const Piece& piece = it->second;
      for (uintptr_t w = piece.begin / kBankBytes;
           w <= (piece.begin + piece.bytes - 1) / kBankBytes; ++w) {
        words[w % kBanks].insert(w);
        worst = std::max(worst, words[w % kBanks].size());
      }
    }
    t.wavefronts += worst;
    t.ideal_wavefronts += worst > 0;
  }
}

}  // namespace

void access(Space space, bool write, const void* address, size_t bytes, Site site) {
  if (!options.count_traffic) return;
  const Place place{site.file_name(), site.line(), site.column(), space};
  const uint64_t visit = visits[{place, current->linear}]++;
  auto& instruction = instructions.try_emplace(place, Instruction{space, write, {}}).first->second;
  instruction.lanes[{current->warp, visit}][current->lane] = {reinterpret_cast<uintptr_t>(address),
                                                              bytes};
}

void atomic() {
  if (options.count_traffic) ++totals().atomics;
}
void barrier() {
  if (options.count_traffic) ++totals().barriers;
}
void mma() {
  if (options.count_traffic) ++totals().mma;
}

void begin_kernel(size_t dynamic_shared) {
  if (!options.count_traffic) return;
  Totals& t = totals();
  ++t.launches;
  t.threads = std::max(t.threads, uint64_t{block.size.x} * block.size.y * block.size.z);
  t.dynamic_shared = std::max(t.dynamic_shared, uint64_t{dynamic_shared});
}

void end_block() {
  if (!options.count_traffic) return;
  Totals& t = totals();
  ++t.blocks;
  for (const auto& [place, instruction] : instructions) {
    for (const auto& [request, lanes] : instruction.lanes) {
      uint64_t bytes = 0;
      for (const auto& [lane, piece] : lanes) bytes += piece.bytes;
      if (instruction.space == Space::shared) {
        t.shared_bytes += bytes;
        count_shared(lanes, t);
      } else {
        (instruction.write ? t.global_write_bytes : t.global_read_bytes) += bytes;
        count_global(lanes, t);
      }
    }
  }
  instructions.clear();
  visits.clear();
}

void write_json_and_reset(std::ostream& out) {
  out << '[';
  for (size_t i = 0; i < kernels.size(); ++i) {
    const auto& [name, t] = kernels[i];
    out << (i ? "," : "") << "{\"kernel\":\"" << name << "\",\"launches\":" << t.launches
        << ",\"blocks\":" << t.blocks << ",\"threads\":" << t.threads
        << ",\"dynamic_shared\":" << t.dynamic_shared
        << ",\"global_read_bytes\":" << t.global_read_bytes
        << ",\"global_write_bytes\":" << t.global_write_bytes << ",\"sectors\":" << t.sectors
        << ",\"ideal_sectors\":" << t.ideal_sectors << ",\"shared_bytes\":" << t.shared_bytes
        << ",\"wavefronts\":" << t.wavefronts << ",\"ideal_wavefronts\":" << t.ideal_wavefronts
        << ",\"barriers\":" << t.barriers << ",\"mma\":" << t.mma << ",\"atomics\":" << t.atomics
        << '}';
  }
  out << "]";
  kernels.clear();
}

}  // namespace emu::traffic
