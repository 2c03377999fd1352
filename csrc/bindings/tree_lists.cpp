#include "bindings/tree_lists.h"

namespace pyllm::bind {

using namespace trees;

namespace {

constexpr int32_t kWideCodes = 65535;  // the highest code of two bytes

}  // namespace

FeatureLists::FeatureLists(int64_t rows, const std::vector<std::vector<double>>& cuts,
                           const std::vector<int32_t>& usual)
    : rows_(rows), lists_(cuts.size()) {
  if (rows < 0 || rows > INT32_MAX) throw py::value_error("rows: out of range");
  if (usual.size() != cuts.size()) throw py::value_error("usual: expected one entry a feature");
  for (size_t f = 0; f < cuts.size(); ++f) {
    if (cuts[f].size() + 1 > 65535) throw py::value_error("cuts: too many");
    if (usual[f] < 0 || usual[f] > static_cast<int32_t>(cuts[f].size()) + 1) {
      throw py::value_error("usual: out of range");
    }
    lists_[f].cuts = cuts[f];
    lists_[f].usual = usual[f];
  }
}

std::vector<bool> FeatureLists::missing() const {
  std::vector<bool> result;
  for (const SparseCodes& list : lists_) result.push_back(list.missing);
  return result;
}

std::vector<SparseCodes*> FeatureLists::pick(const std::vector<int32_t>& features) {
  std::vector<SparseCodes*> result;
  std::vector<bool> picked(lists_.size());
  for (const int32_t f : features) {
    if (f < 0 || f >= static_cast<int32_t>(lists_.size())) {
      throw py::value_error("features: out of range");
    }
    if (picked[f]) throw py::value_error("features: expected each once");
    picked[f] = true;
    result.push_back(&lists_[f]);
  }
  return result;
}

std::vector<SparseCodes*> FeatureLists::pick_whole(const std::vector<int32_t>& features) {
  std::vector<SparseCodes*> result = pick(features);
  for (const SparseCodes* list : result) {
    if (list->given_up) throw py::value_error("features: one was given up");
  }
  return result;
}

std::vector<std::vector<int32_t>> FeatureLists::find(const std::vector<int32_t>& features,
                                                     const std::vector<int32_t>& codes,
                                                     int32_t most) {
  if (most < 0 || most > kWideCodes) throw py::value_error("most: out of range");
  if (codes.size() != features.size()) throw py::value_error("codes: expected one a feature");
  std::vector<Candidate> candidates;
  const std::vector<SparseCodes*> lists = pick_whole(features);
  for (size_t i = 0; i < lists.size(); ++i) {
    if (codes[i] < 0 || codes[i] > most) throw py::value_error("codes: out of range");
    candidates.push_back({lists[i], codes[i]});
  }
  const py::gil_scoped_release release;
  auto found = find_bundles(candidates, rows_, most);
  for (auto& bundle : found) {
    for (int32_t& member : bundle) member = features[member];
  }
  return found;
}

StoreArgs FeatureLists::columns(const std::vector<ColumnPlan>& plan, const CodeArrays& codes) {
  if (codes.rows() != rows_) throw py::value_error("codes: wrong rows");
  StoreArgs args;
  args.rows = rows_;
  args.narrow = codes.store<uint8_t>();
  args.wide = codes.store<uint16_t>();
  for (const auto& [wide, column, features, first] : plan) {
    const bool bundled = !first.empty();
    if (column < 0 || column >= codes.columns(wide)) {
      throw py::value_error("plan: column out of range");
    }
    if (bundled ? first.size() != features.size() : features.size() != 1) {
      throw py::value_error("plan: wrong features for column " + std::to_string(column));
    }
    SparseColumn to{wide, column, {}};
    const std::vector<SparseCodes*> lists = pick_whole(features);
    for (size_t i = 0; i < lists.size(); ++i) {
      const auto last = static_cast<int32_t>(lists[i]->cuts.size()) + lists[i]->missing;
      const int32_t highest = bundled ? first[i] + last - 1 : last;
      if (highest > (wide ? kWideCodes : kNarrowBins) || (bundled && first[i] < 1)) {
        throw py::value_error("plan: codes out of range for column " + std::to_string(column));
      }
      to.members.push_back({lists[i], bundled ? first[i] : 0, bundled});
    }
    args.columns.push_back(std::move(to));
  }
  return args;
}

}  // namespace pyllm::bind
