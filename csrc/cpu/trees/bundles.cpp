// Exclusive feature bundling (Ke et al., "LightGBM", NeurIPS 2017, section 4, algorithm 3) without
// conflicts: the features of a bundle have no row in common in which both differ from their usual
// code, so that the code of the bundle tells those of all.
//
// The least number of bundles is that of colours of the conflict graph. Greedily, in the order of
// the rows listed, the most first, a feature goes into the first bundle that has room for it and
// none of its rows. Where there are many bundles some of them are tried, spread evenly; and what a
// feature may look at in vain is bounded by its own rows, so that the search takes about the time
// of reading the lists.
#include "cpu/trees/bundles.h"

#include <algorithm>
#include <numeric>

namespace pyllm::trees {
namespace {

constexpr size_t kTries = 100;         // bundles a feature is compared with
constexpr int64_t kVainRows = 8;       // rows looked at before giving up, per row listed
constexpr int64_t kVainAlways = 4096;  // and besides

class Bundle {
 public:
  Bundle(int64_t rows, int32_t codes)
      : taken_((rows + 63) / 64), free_rows_(rows), free_codes_(codes) {}

  bool has_room(const Candidate& c) const {
    return c.codes <= free_codes_ && c.listed->count() <= free_rows_;
  }
  bool full() const { return free_codes_ == 0 || free_rows_ == 0; }

  // Rows of the feature up to the first one that is taken; all of them: none is.
  int64_t rows_free(const SparseCodes& listed) const {
    const auto taken = [&](int32_t row) { return taken_[row / 64] >> row % 64 & 1; };
    const int32_t* rows = listed.rows();
    return std::find_if(rows, rows + listed.count(), taken) - rows;
  }

  void add(int32_t feature, const Candidate& c) {
    const int32_t* rows = c.listed->rows();
    for (int64_t i = 0; i < c.listed->count(); ++i) {
      taken_[rows[i] / 64] |= uint64_t{1} << rows[i] % 64;
    }
    free_codes_ -= c.codes;
    free_rows_ -= c.listed->count();
    features.push_back(feature);
    if (full()) taken_ = {};
  }

  std::vector<int32_t> features;

 private:
  std::vector<uint64_t> taken_;  // a bit a row
  int64_t free_rows_;
  int32_t free_codes_;
};

// The bundle among those open that takes a feature; their number if none does.
size_t place_of(const Candidate& c, size_t turn, const std::vector<Bundle>& bundles,
                const std::vector<size_t>& open) {
  const size_t tries = std::min(open.size(), kTries);
  int64_t budget = kVainAlways + kVainRows * c.listed->count();
  for (size_t t = 0; t < tries && budget > 0; ++t) {
    const size_t at = open.size() <= kTries ? t : (turn + t * open.size() / tries) % open.size();
    const Bundle& bundle = bundles[open[at]];
    if (!bundle.has_room(c)) continue;
    const int64_t free = bundle.rows_free(*c.listed);
    if (free == c.listed->count()) return at;
    budget -= free + 1;
  }
  return open.size();
}

}  // namespace

std::vector<std::vector<int32_t>> find_bundles(const std::vector<Candidate>& candidates,
                                               int64_t rows, int32_t codes) {
  std::vector<int32_t> order(candidates.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return candidates[a].listed->count() > candidates[b].listed->count();
  });
  std::vector<Bundle> bundles;
  std::vector<size_t> open;
  for (size_t turn = 0; turn < order.size(); ++turn) {
    const Candidate& c = candidates[order[turn]];
    const size_t at = place_of(c, turn, bundles, open);
    if (at == open.size()) {
      open.push_back(bundles.size());
      bundles.emplace_back(rows, codes);
    }
    Bundle& bundle = bundles[open[at]];
    bundle.add(order[turn], c);
    if (bundle.full()) open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
  }
  std::vector<std::vector<int32_t>> result;
  for (Bundle& bundle : bundles) {
    std::sort(bundle.features.begin(), bundle.features.end());
    result.push_back(std::move(bundle.features));
  }
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace pyllm::trees
