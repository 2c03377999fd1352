// What lists of sparse features have in common, however they are made.
#pragma once

#include <pybind11/stl.h>

#include <tuple>
#include <utility>
#include <vector>

#include "bindings/tree_codes.h"
#include "cpu/trees/bundles.h"
#include "cpu/trees/sparse_codes.h"

namespace pyllm::bind {

// (wide, column, features, first code of each in the bundle; no first codes: one feature as it is)
using ColumnPlan = std::tuple<bool, int32_t, std::vector<int32_t>, std::vector<int32_t>>;

class FeatureLists {
 public:
  FeatureLists(int64_t rows, const std::vector<std::vector<double>>& cuts,
               const std::vector<int32_t>& usual);

  // By feature, whether a row that is listed misses it.
  std::vector<bool> missing() const;

 protected:
  std::vector<trees::SparseCodes*> pick(const std::vector<int32_t>& features);
  // Those of which all rows are listed.
  std::vector<trees::SparseCodes*> pick_whole(const std::vector<int32_t>& features);

  // Which features share columns of up to `most` codes; codes: of each, besides its usual one.
  std::vector<std::vector<int32_t>> find(const std::vector<int32_t>& features,
                                         const std::vector<int32_t>& codes, int32_t most);
  trees::StoreArgs columns(const std::vector<ColumnPlan>& plan, const CodeArrays& codes);

  int64_t rows_;
  std::vector<trees::SparseCodes> lists_;
};

}  // namespace pyllm::bind
