// Rows drawn for one round of boosting.
//
// A row is kept or not by its own word of a Philox stream, so the draw is the same at any thread
// count. Two passes over blocks: count, then write at the offset of the block. GOSS needs the k-th
// largest |gradient| first: non-negative floats are ordered as their bits are, so two counting
// passes (high, then low 16 bits) find it exactly; ties are taken from the first row on.
#include "cpu/trees/row_sampling.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/parallel.h"
#include "core/philox.h"

namespace pyllm {
namespace {

constexpr int64_t kBlock = 16384;  // rows; a multiple of 4, the words of one Philox call

// The rows whose flag is set; flags_of(begin, end, flags) sets those of a block.
template <class F>
std::vector<int32_t> select(int64_t n, F&& flags_of) {
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  std::vector<uint8_t> flags(n);
  std::vector<int64_t> offset(blocks + 1, 0);
  parallel_tasks(blocks, [&](int64_t b) {
    const int64_t begin = b * kBlock, end = std::min(n, begin + kBlock);
    flags_of(begin, end, flags.data());
    int64_t count = 0;
    for (int64_t i = begin; i < end; ++i) count += flags[i];
    offset[b + 1] = count;
  });
  for (int64_t b = 0; b < blocks; ++b) offset[b + 1] += offset[b];
  std::vector<int32_t> rows(offset[blocks]);
  parallel_tasks(blocks, [&](int64_t b) {
    int32_t* out = rows.data() + offset[b];
    for (int64_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); ++i) {
      if (flags[i]) *out++ = static_cast<int32_t>(i);
    }
  });
  return rows;
}

// flags[i] for rows [begin, end), begin a multiple of 4.
void draw(int64_t begin, int64_t end, double fraction, uint64_t seed, uint64_t stream,
          uint8_t* flags) {
  const uint32_t threshold = drop_threshold(fraction);
  for (int64_t i = begin; i < end; i += 4) {
    const auto words = philox(seed, stream, static_cast<uint64_t>(i) / 4);
    for (int64_t j = i; j < std::min(i + 4, end); ++j) flags[j] = words[j - i] < threshold;
  }
}

// How many elements of [0, n) have each value of bucket(i) in [0, 65536).
template <class F>
std::vector<int64_t> count_buckets(int64_t n, F&& bucket) {
  constexpr int64_t kTasks = 16;
  std::vector<std::vector<int64_t>> parts(kTasks);
  parallel_tasks(kTasks, [&](int64_t task) {
    parts[task].assign(65536, 0);
    for (int64_t i = task * n / kTasks; i < (task + 1) * n / kTasks; ++i) {
      const int64_t b = bucket(i);
      if (b >= 0) ++parts[task][b];
    }
  });
  for (int64_t task = 1; task < kTasks; ++task) {
    for (int b = 0; b < 65536; ++b) parts[0][b] += parts[task][b];
  }
  return parts[0];
}

// The bucket that holds the k-th largest (k from 1), and how many are in larger ones.
std::pair<int64_t, int64_t> find_bucket(const std::vector<int64_t>& counts, int64_t k) {
  int64_t above = 0;
  for (int64_t b = 65535;; --b) {
    if (above + counts[b] >= k || b == 0) return {b, above};
    above += counts[b];
  }
}

}  // namespace

std::vector<int32_t> sample_rows(int64_t n, double fraction, uint64_t seed, uint64_t stream) {
  return select(n, [&](int64_t begin, int64_t end, uint8_t* flags) {
    draw(begin, end, fraction, seed, stream, flags);
  });
}

std::vector<int32_t> goss(const GossArgs& a) {
  std::vector<uint32_t> size(a.n);
  parallel_for(a.n, kBlock, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float total = 0.0f;
      for (int64_t k = 0; k < a.outputs; ++k) total += std::fabs(a.gradient[k * a.n + i]);
      size[i] = std::bit_cast<uint32_t>(total);
    }
  });
  const auto top = static_cast<int64_t>(std::ceil(a.top_rate * static_cast<double>(a.n)));
  int64_t ties = 0;  // rows just as large as the smallest of the top that belong to it
  uint32_t smallest = UINT32_MAX;
  if (top > 0) {
    const auto [high, above] =
        find_bucket(count_buckets(a.n, [&](int64_t i) { return int64_t{size[i] >> 16}; }), top);
    const auto [low, above_low] = find_bucket(
        count_buckets(a.n,
                      [&, high = high](int64_t i) {
                        return size[i] >> 16 == high ? int64_t{size[i] & 0xFFFF} : int64_t{-1};
                      }),
        top - above);
    smallest = static_cast<uint32_t>(high << 16 | low);
    ties = top - above - above_low;
  }
  int64_t last_tie = -1;  // ties after this row are drawn like the others
  for (int64_t i = 0; i < a.n && ties > 0; ++i) {
    if (size[i] == smallest && --ties == 0) last_tie = i;
  }
  const double rate = a.top_rate < 1.0 ? std::min(1.0, a.other_rate / (1.0 - a.top_rate)) : 0.0;
  const auto amplify = static_cast<float>((1.0 - a.top_rate) / a.other_rate);
  return select(a.n, [&](int64_t begin, int64_t end, uint8_t* flags) {
    draw(begin, end, rate, a.seed, a.stream, flags);
    for (int64_t i = begin; i < end; ++i) {
      if (size[i] > smallest || (size[i] == smallest && i <= last_tie)) {
        flags[i] = 1;
      } else if (flags[i]) {
        for (int64_t k = 0; k < a.outputs; ++k) {
          a.gradient[k * a.n + i] *= amplify;
          a.hessian[k * a.n + i] *= amplify;
        }
      }
    }
  });
}

}  // namespace pyllm
