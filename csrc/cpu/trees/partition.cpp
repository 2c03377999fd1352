// The rows of a node, split between its children. No branch depends on the data: each row is
// written to both sides, and the side it belongs to advances.
#include "cpu/trees/partition.h"

namespace pyllm::PYLLM_ISA {
namespace {

template <class Code>
int64_t partition(const Code* codes, const trees::PartitionArgs& args) {
  int32_t* left = args.left;
  int32_t* right = args.right;
  for (int64_t i = 0; i < args.count; ++i) {
    const int32_t row = args.rows[i];
    const int64_t is_left = args.goes_left[codes[row]];
    *left = row;
    *right = row;
    left += is_left;
    right += 1 - is_left;
  }
  return left - args.left;
}

}  // namespace

void tree_partition(const trees::PartitionArgs& args) {
  *args.lefts = args.wide ? partition(args.wide, args) : partition(args.narrow, args);
}

}  // namespace pyllm::PYLLM_ISA
