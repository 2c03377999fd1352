#include "cpu/trees/sampling.h"

#include "cpu/trees/feature_draw.h"

namespace pyllm::trees {

std::vector<int32_t> draw_features(const std::vector<int32_t>& from, double share, uint64_t seed,
                                   uint64_t stream) {
  return FeatureDraw(from)(share, seed, stream);
}

}  // namespace pyllm::trees
