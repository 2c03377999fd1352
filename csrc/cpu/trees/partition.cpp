// The rows of a node, split between its children. No branch depends on the data: each row is
// written to both sides, and the side it belongs to advances. Where rows lie far apart their codes
// are prefetched.
#include "cpu/trees/partition.h"

#include <algorithm>

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kAhead = 64;  // rows between a prefetch and its use
constexpr int64_t kSparseBytes =
    16;  // from row to row: most codes are in a cache line of their own

template <bool kPrefetch, class Code>
int64_t partition(const Code* codes, const trees::PartitionArgs& args) {
  int32_t* left = args.left;
  int32_t* right = args.right;
  const int64_t last = args.count - 1;
  for (int64_t i = 0; i < args.count; ++i) {
    if constexpr (kPrefetch) __builtin_prefetch(codes + args.rows[std::min(i + kAhead, last)]);
    const int32_t row = args.rows[i];
    const int64_t is_left = args.goes_left[codes[row]];
    *left = row;
    *right = row;
    left += is_left;
    right += 1 - is_left;
  }
  return left - args.left;
}

template <class Code>
int64_t partition(const Code* codes, const trees::PartitionArgs& args) {
  const int64_t span = args.count > 0 ? args.rows[args.count - 1] - args.rows[0] : 0;
  const bool sparse = span * static_cast<int64_t>(sizeof(Code)) >= kSparseBytes * args.count;
  return sparse ? partition<true>(codes, args) : partition<false>(codes, args);
}

}  // namespace

void tree_partition(const trees::PartitionArgs& args) {
  *args.lefts = args.wide ? partition(args.wide, args) : partition(args.narrow, args);
}

}  // namespace pyllm::PYLLM_ISA
