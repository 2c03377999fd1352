#include "cpu/trees/shared.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>
#include <utility>

#include "core/parallel.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kFeatureWork = 8;   // of scanning a feature, in bins
constexpr int64_t kCategoryWork = 4;  // of a category
constexpr int32_t kSlices = 4;        // a thread, to even out what takes longer than estimated

}  // namespace

std::vector<int32_t> slice_starts(const Bins& bins, const std::vector<int32_t>& features) {
  const auto work = [&](int32_t f) {
    const Feature& feature = bins.features[f];
    return feature.codes() * (feature.categorical ? kCategoryWork : 1) + kFeatureWork;
  };
  const auto count = static_cast<int32_t>(features.size());
  const int32_t slices = num_threads() > 1 ? std::min(count, kSlices * num_threads()) : 1;
  std::vector<int32_t> starts{0};
  int64_t all = 0, done = 0;
  if (slices > 1) {
    for (const int32_t f : features) all += work(f);
  }
  for (int32_t i = 0; i < count && slices > 1; ++i) {
    const bool border =
        i > 0 && !bins.features[features[i]].shares_column(bins.features[features[i - 1]]);
    const auto next = static_cast<int64_t>(starts.size());
    if (border && next < slices && done * slices >= all * next) starts.push_back(i);
    done += work(features[i]);
  }
  if (count > 0) starts.push_back(count);
  return starts;
}

Shared::Shared(const GrowInput& in, const GrowOptions& o)
    : input(in),
      options(o),
      fixed(to_fixed_point(in)),
      rows(in.count + 1),
      spare(in.count + 1),
      choice(in.bins->features, o, in.seed),
      features(by_column(choice.of_tree())) {
  if (in.rows) {
    std::memcpy(rows.data(), in.rows, in.count * sizeof(int32_t));
  } else {
    std::iota(rows.data(), rows.data() + in.count, 0);
  }
  rules.criterion = o.criterion;
  rules.objective = o.objective;
  rules.min_gain = o.min_gain;
  rules.min_child_weight = o.min_child_weight;
  rules.gradient_unit = fixed.gradient_unit;
  rules.hessian_unit = fixed.hessian_unit;
  rules.least_hessian_sum =
      o.min_child_samples * in.outputs * std::max<int64_t>(fixed.least_hessian, 0);
  rules.monotone = o.monotone.empty() ? nullptr : o.monotone.data();
  rules.category_smooth = o.category_smooth;
  rules.category_l2 = o.category_l2;
  rules.max_cat_threshold = o.max_cat_threshold;
  rules.max_onehot = o.max_onehot;
  rules.min_category_samples = o.min_category_samples;
  rules.min_group_samples = o.min_group_samples;
  rules.random_cuts = o.extra_random;
  rules.seed = in.seed;

  starts = slice_starts(*in.bins, features);
}

std::vector<int32_t> Shared::by_column(std::vector<int32_t> drawn) const {
  const std::vector<Feature>& all = input.bins->features;
  const auto before = [&](int32_t a, int32_t b) {
    const Feature &x = all[a], &y = all[b];
    return std::tuple(x.wide, x.column, x.first) < std::tuple(y.wide, y.column, y.first);
  };
  if (!std::is_sorted(drawn.begin(), drawn.end(), before)) {
    std::sort(drawn.begin(), drawn.end(), before);
  }
  return drawn;
}

std::vector<int32_t> Shared::features_of(uint64_t key, int32_t depth,
                                         const std::vector<int32_t>& path) const {
  if (choice.same_for_all_nodes()) return features;
  return by_column(choice.of_node(key, depth, path));
}

}  // namespace pyllm::trees
