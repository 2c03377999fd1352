#include "cpu/trees/feature_choice.h"

#include <algorithm>

#include "cpu/trees/sampling.h"

namespace pyllm::trees {
namespace {

// Whether one of the sets holds a feature and all those above.
bool may_meet(const std::vector<std::vector<int32_t>>& sets, const std::vector<int32_t>& path,
              int32_t feature) {
  return std::any_of(sets.begin(), sets.end(), [&](const auto& set) {
    const auto holds = [&](int32_t f) { return std::binary_search(set.begin(), set.end(), f); };
    return holds(feature) && std::all_of(path.begin(), path.end(), holds);
  });
}

}  // namespace

FeatureChoice::FeatureChoice(const std::vector<Feature>& all, const GrowOptions& options,
                             uint64_t seed)
    : options_(options), seed_(seed) {
  for (int32_t f = 0; f < static_cast<int32_t>(all.size()); ++f) {
    if (all[f].codes() > 1) of_tree_.push_back(f);
  }
  std::stable_partition(of_tree_.begin(), of_tree_.end(),
                        [&](int32_t f) { return all[f].bins <= kNarrowBins; });
  of_tree_ = draw_features(of_tree_, options.share_by_tree, seed, stream_of(Draw::tree, 0));
}

std::vector<int32_t> FeatureChoice::of_node(uint64_t key, int32_t depth,
                                            const std::vector<int32_t>& path) const {
  const auto of_level = draw_features(of_tree_, options_.share_by_level, seed_,
                                      stream_of(Draw::level, static_cast<uint64_t>(depth)));
  auto allowed = draw_features(of_level, options_.share_by_node, seed_, stream_of(Draw::node, key));
  if (!options_.interaction.empty()) {
    std::erase_if(allowed, [&](int32_t f) { return !may_meet(options_.interaction, path, f); });
  }
  return allowed;
}

bool FeatureChoice::same_for_all_nodes() const {
  return options_.share_by_level >= 1 && options_.share_by_node >= 1 &&
         options_.interaction.empty();
}

}  // namespace pyllm::trees
