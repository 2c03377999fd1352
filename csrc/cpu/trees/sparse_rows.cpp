#include "cpu/trees/sparse_rows.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "core/parallel.h"

namespace pyllm::trees {
namespace {

constexpr int64_t kSampledRows = 1024;
constexpr int64_t kRowsAnother = 4;      // at most one row in so many has another code
constexpr int32_t kFewestFeatures = 16;  // less is not worth a list
constexpr int64_t kGrain = 1 << 12;

template <class F>
auto with_codes(const Bins& bins, const Feature& f, F&& body) {
  return f.wide ? body(bins.wide) : body(bins.narrow);
}

// The code of most rows if few have another, else -1.
int32_t common_code(const Bins& bins, const Feature& f) {
  if (f.bundled() || f.codes() < 2) return -1;
  return with_codes(bins, f, [&](const auto& codes) {
    const auto* column = codes.by_column + f.column * bins.rows;
    const int64_t sampled = std::min(kSampledRows, bins.rows);
    std::vector<int64_t> counts(f.codes());
    for (int64_t i = 0; i < sampled; ++i) ++counts[column[i * bins.rows / sampled]];
    const auto most = std::max_element(counts.begin(), counts.end());
    const auto code = static_cast<int32_t>(most - counts.begin());
    if ((sampled - *most) * kRowsAnother > sampled) return -1;
    int64_t others = 0;
    for (int64_t row = 0; row < bins.rows; ++row) others += column[row] != code;
    return others * kRowsAnother <= bins.rows ? code : -1;
  });
}

struct Listed {
  int32_t column, common, offset;
};

// Calls add(place, whether it counts) on every listed feature of a row.
template <class Code, class Add>
void for_each_place(const CodeMatrix<Code>& codes, const std::vector<Listed>& listed, int64_t row,
                    Add&& add) {
  const Code* code = codes.by_row + row * codes.stride;
  for (const Listed& f : listed) {
    add(static_cast<uint32_t>(f.offset + code[f.column]), code[f.column] != f.common);
  }
}

}  // namespace

void list_sparse_rows(Bins& bins) {
  const auto features = static_cast<int64_t>(bins.features.size());
  if (features < kFewestFeatures || bins.rows == 0) return;
  parallel_tasks(features,
                 [&](int64_t f) { bins.features[f].common = common_code(bins, bins.features[f]); });
  std::vector<Listed> narrow, wide;
  for (const Feature& f : bins.features) {
    if (f.common >= 0) (f.wide ? wide : narrow).push_back({f.column, f.common, f.offset});
  }
  SparseRows lists;
  lists.features = static_cast<int32_t>(narrow.size() + wide.size());
  const int64_t most_places = bins.rows / kRowsAnother * lists.features;
  if (lists.features < kFewestFeatures || most_places > UINT32_MAX) {
    for (Feature& f : bins.features) f.common = -1;
    return;
  }
  const auto for_each = [&](int64_t row, auto&& add) {
    for_each_place(bins.narrow, narrow, row, add);
    for_each_place(bins.wide, wide, row, add);
  };
  lists.offset = Scratch<uint32_t>(bins.rows + 1);
  lists.offset[0] = 0;
  parallel_for(bins.rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      uint32_t count = 0;
      for_each(row, [&](uint32_t, bool counts) { count += counts; });
      lists.offset[row + 1] = count;
    }
  });
  for (int64_t row = 0; row < bins.rows; ++row) lists.offset[row + 1] += lists.offset[row];
  lists.place = Scratch<uint32_t>(lists.offset[bins.rows]);
  parallel_for(bins.rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      uint32_t* to = lists.place.data() + lists.offset[row];
      for_each(row, [&](uint32_t place, bool counts) {
        if (counts) *to++ = place;
      });
    }
  });
  bins.sparse = std::make_shared<const SparseRows>(std::move(lists));
}

bool sums_lists(const Bins& bins, const FeatureSlice& slice) {
  if (!bins.sparse) return false;
  return bins.sparse->features ==
         std::count_if(slice.features, slice.features + slice.count,
                       [&](int32_t f) { return bins.features[f].common >= 0; });
}

}  // namespace pyllm::trees
