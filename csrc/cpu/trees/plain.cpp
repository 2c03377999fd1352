#include <algorithm>

#include "cpu/trees/plain_subtree.h"

namespace pyllm::trees {

namespace {

constexpr int64_t kCopiedBytes = 1 << 22;  // codes of a subtree's rows

}  // namespace

bool has_plain_subtrees(const Shared& shared) {
  const GrowOptions& options = shared.options;
  const Bins& bins = *shared.input.bins;
  return options.criterion == Criterion::newton && options.max_leaves == 0 &&
         options.objective.plain() && options.monotone.empty() && options.interaction.empty() &&
         options.share_by_level >= 1 && shared.fixed.packing != Packing::bits64 &&
         std::min(kSubtreeRows, shared.input.count) <= shared.fixed.block &&
         bins.narrow.stride * kSubtreeRows <= kCopiedBytes &&
         std::none_of(shared.features.begin(), shared.features.end(), [&](int32_t f) {
           return bins.features[f].wide || bins.features[f].categorical;
         });
}

}  // namespace pyllm::trees
