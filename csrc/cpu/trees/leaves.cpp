// What a new tree does to the margins, and leaf values that are quantiles of the residuals.
//
// A quantile at level a of values with weights is the smallest x with W(x) >= a W, W(x) the weight
// at or below x; where W(x) = a W exactly, the mean of x and the next value. With weights 1 and
// a = 1/2 that is the median, and a weight of 2 is the same as the row twice.
//
// The rows are sorted by leaf (counting, stable), then every leaf by value: one task a leaf.
#include "cpu/trees/leaves.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/parallel.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 16384;

struct Weighted {
  double value, weight;
};

double quantile_of(Weighted* begin, Weighted* end, double level) {
  std::sort(begin, end, [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  double total = 0.0;
  for (const Weighted* p = begin; p < end; ++p) total += p->weight;
  const double wanted = level * total;
  double below = 0.0;
  for (const Weighted* p = begin; p < end; ++p) {
    below += p->weight;
    // A hair more than `wanted` by rounding alone still counts as equal.
    if (below >= wanted * (1.0 - 1e-12) && p + 1 < end) {
      return below <= wanted * (1.0 + 1e-12) ? 0.5 * (p->value + p[1].value) : p->value;
    }
  }
  return begin < end ? end[-1].value : 0.0;
}

}  // namespace

void add_leaf_values(const AddLeafValuesArgs& a) {
  parallel_for(a.n, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) a.margin[i] += a.value[a.leaf[i]];
  });
}

void leaf_quantiles(const LeafQuantilesArgs& a) {
  std::vector<int64_t> offset(a.nodes + 1, 0);
  const auto counts = [&](int64_t i) { return !a.weight || a.weight[i] > 0.0; };
  for (int64_t k = 0; k < a.n; ++k) {
    const int64_t i = a.rows ? a.rows[k] : k;
    offset[a.leaf[i] + 1] += counts(i);
  }
  for (int64_t node = 0; node < a.nodes; ++node) offset[node + 1] += offset[node];
  std::vector<Weighted> sorted(offset[a.nodes]);
  std::vector<int64_t> next(offset.begin(), offset.end() - 1);
  for (int64_t k = 0; k < a.n; ++k) {
    const int64_t i = a.rows ? a.rows[k] : k;
    if (counts(i)) sorted[next[a.leaf[i]]++] = {a.x[i], a.weight ? a.weight[i] : 1.0};
  }
  parallel_tasks(a.nodes, [&](int64_t node) {
    a.quantile[node] =
        quantile_of(sorted.data() + offset[node], sorted.data() + offset[node + 1], a.level);
  });
}

}  // namespace pyllm::PYLLM_ISA
