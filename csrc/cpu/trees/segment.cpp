#include "cpu/trees/segment.h"

#include <algorithm>
#include <cstring>

#include "core/parallel.h"
#include "cpu/trees/categories.h"
#include "cpu/trees/partition.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kPartitionGrain = 1 << 12;  // rows that a thread partitions at least

}  // namespace

std::vector<uint8_t> left_codes(const Feature& f, const Split& split) {
  const auto is_left = [&](int32_t code) -> uint8_t {
    if (code >= f.bins) return split.missing_left;
    return f.categorical ? holds(split.categories, code) : code <= split.bin;
  };
  std::vector<uint8_t> goes_left(f.stored);
  if (f.bundled()) std::fill(goes_left.begin(), goes_left.end(), is_left(f.usual));
  const int32_t own = f.bundled() ? f.codes() - 1 : f.stored;
  for (int32_t i = f.first; i < f.first + own; ++i) goes_left[i] = is_left(f.code(i));
  return goes_left;
}

int64_t partition_segment(const Bins& bins, const Split& split, int32_t* rows, int32_t* spare,
                          int64_t count) {
  const Feature& f = bins.features[split.feature];
  const std::vector<uint8_t> goes_left = left_codes(f, split);
  PartitionArgs args;
  if (f.wide) {
    args.wide = bins.wide.by_column + f.column * bins.rows;
  } else {
    args.narrow = bins.narrow.by_column + f.column * bins.rows;
  }
  args.goes_left = goes_left.data();

  const int64_t parts = std::clamp<int64_t>(count / kPartitionGrain, 1, num_threads());
  std::vector<int64_t> lefts(parts);
  const auto start = [&](int64_t part) { return count * part / parts; };
  parallel_tasks(parts, [&](int64_t part) {
    PartitionArgs own = args;
    own.rows = own.left = rows + start(part);
    own.count = start(part + 1) - start(part);
    own.right = spare + start(part);
    own.lefts = &lefts[part];
    tree_partition(own);
  });
  // The lefts of each part close up first, then the rights follow in order.
  int64_t end = lefts[0];
  for (int64_t part = 1; part < parts; ++part) {
    std::memmove(rows + end, rows + start(part), lefts[part] * sizeof(int32_t));
    end += lefts[part];
  }
  std::vector<int64_t> target(parts, end);
  for (int64_t part = 1; part < parts; ++part) {
    target[part] = target[part - 1] + start(part) - start(part - 1) - lefts[part - 1];
  }
  parallel_tasks(parts, [&](int64_t part) {
    const int64_t rights = start(part + 1) - start(part) - lefts[part];
    std::memcpy(rows + target[part], spare + start(part), rights * sizeof(int32_t));
  });
  return end;
}

int64_t count_lefts(const Bins& bins, const Split& split, const int32_t* rows, int64_t count) {
  const Feature& f = bins.features[split.feature];
  const std::vector<uint8_t> goes_left = left_codes(f, split);
  const int64_t column = f.column * bins.rows;
  int64_t lefts = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t at = column + rows[i];
    lefts += goes_left[f.wide ? bins.wide.by_column[at] : bins.narrow.by_column[at]];
  }
  return lefts;
}

}  // namespace pyllm::trees
