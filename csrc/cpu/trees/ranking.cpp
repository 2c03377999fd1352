// LambdaRank (Burges, "From RankNet to LambdaRank to LambdaMART", 2010), LightGBM's form.
//
// In each query the rows are ordered by margin, best first, equal ones as they stand. A pair (i
// more relevant than j) pulls apart by the change of the measure if the two swapped places:
//
//   lambda = -sigma |delta| / (1 + e^(sigma (s_i - s_j)))        added to i, taken from j
//   hessian = sigma^2 |delta| rho (1 - rho), rho = 1 / (1 + e^(sigma (s_i - s_j)))    added to both
//
//   ndcg   |delta| = |2^l_i - 2^l_j| |1/log2(2 + r_i) - 1/log2(2 + r_j)| / best DCG@truncation
//   map    |delta| of average precision, relevance being l > 0 (Qin et al., "A general
//          approximation framework for direct optimization of IR measures", 2010)
//
// normalize: |delta| / (0.01 + |s_i - s_j|) per pair, then log2(1 + sum) / sum per query, so that
// long queries don't drown short ones. Only pairs with a row among the `truncation` best count.
//
// One task a few queries; a query's sums run in a fixed order, so threads don't matter.
#include <algorithm>
#include <vector>

#include "core/parallel.h"
#include "cpu/trees/objective.h"
#include "cpu/trees/portable_math.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kRowsPerTask = 2048;
constexpr double kLn2 = 0.6931471805599453;

double discount(int64_t rank) {
  return kLn2 / portable_log(2.0 + static_cast<double>(rank));
}
double dcg_gain(double relevance) {
  return portable_exp(relevance * kLn2) - 1.0;
}

struct Workspace {
  std::vector<int32_t> order;
  std::vector<double> relevance, score, gain, weight, lambda, hessian, pair_lambda, pair_hessian;
  std::vector<double> hits, precision;  // map: relevant rows up to a rank; sum of 1/rank over them

  void resize(int64_t n) {
    order.resize(n);
    for (auto* v :
         {&relevance, &score, &gain, &weight, &pair_lambda, &pair_hessian, &hits, &precision}) {
      v->resize(n);
    }
    lambda.assign(n, 0.0);
    hessian.assign(n, 0.0);
  }
};

double best_dcg(std::vector<double> relevance, int64_t truncation) {
  std::sort(relevance.begin(), relevance.end(), std::greater<>());
  double total = 0.0;
  for (int64_t i = 0; i < std::min<int64_t>(truncation, relevance.size()); ++i) {
    total += dcg_gain(relevance[i]) * discount(i);
  }
  return total;
}

// |delta| of average precision for ranks i < j with different relevance. With n the relevant rows
// up to a rank (itself included), R in all and ranks from 1: if the upper one is relevant it loses
// n_i / i, the lower place gains n_j / j, and each relevant row between loses 1 / its rank; else
// the upper place gains (n_i + 1) / i, the lower loses n_j / j, and those between gain.
double map_change(const Workspace& w, int64_t i, int64_t j, double total) {
  const double upper = static_cast<double>(i + 1), lower = static_cast<double>(j + 1);
  const double between = w.precision[j - 1] - w.precision[i];
  const double change = w.relevance[i] > 0
                            ? w.hits[i] / upper - w.hits[j] / lower + between
                            : (w.hits[i] + 1.0) / upper - w.hits[j] / lower + between;
  return (change < 0 ? -change : change) / total;
}

void query(const RankGradientArgs& a, int64_t q, const std::vector<double>& discounts,
           Workspace& w) {
  const int64_t first = a.query_offset[q], n = a.query_offset[q + 1] - first;
  const double* margin = a.margin + first;
  w.resize(n);
  for (int64_t i = 0; i < n; ++i) w.order[i] = static_cast<int32_t>(i);
  std::stable_sort(w.order.begin(), w.order.end(),
                   [&](int32_t x, int32_t y) { return margin[x] > margin[y]; });
  for (int64_t i = 0; i < n; ++i) {
    const double label = a.relevance[first + w.order[i]];
    w.score[i] = margin[w.order[i]];
    w.relevance[i] = a.gain == RankGain::ndcg ? label : label > 0.0 ? 1.0 : 0.0;
    w.gain[i] = dcg_gain(label);
  }
  double scale = 1.0, relevant = 0.0;
  if (a.gain == RankGain::ndcg) {
    const double best = best_dcg(w.relevance, a.truncation);
    scale = best > 0.0 ? 1.0 / best : 0.0;
  } else {
    double precision = 0.0;
    for (int64_t i = 0; i < n; ++i) {
      relevant += w.relevance[i];
      if (w.relevance[i] > 0.0) precision += 1.0 / static_cast<double>(i + 1);
      w.hits[i] = relevant;
      w.precision[i] = precision;
    }
  }
  const bool by_distance = a.normalize && n > 0 && w.score[0] != w.score[n - 1];
  double total = 0.0;
  for (int64_t i = 0; i < std::min(a.truncation, n); ++i) {
    // |delta| of the pairs (i, j), 0 where the two are as relevant as each other.
    for (int64_t j = i + 1; j < n; ++j) {
      const double gap = w.gain[i] - w.gain[j];
      w.weight[j] = (gap < 0 ? -gap : gap) * (discounts[i] - discounts[j]) * scale;
    }
    if (a.gain == RankGain::map) {
      for (int64_t j = i + 1; j < n; ++j) {
        w.weight[j] = w.relevance[i] == w.relevance[j] ? 0.0 : map_change(w, i, j, relevant);
      }
    }
    for (int64_t j = i + 1; j < n; ++j) {
      const double sign =
          w.relevance[i] > w.relevance[j] ? 1.0 : -1.0;  // 1: the upper one is better
      const double apart = w.score[i] - w.score[j];      // >= 0
      const double weight = by_distance ? w.weight[j] / (0.01 + apart) : w.weight[j];
      const double rho = portable_sigmoid(-a.sigmoid * sign * apart);
      w.pair_lambda[j] = -a.sigmoid * weight * rho * sign;
      w.pair_hessian[j] = a.sigmoid * a.sigmoid * weight * rho * (1.0 - rho);
      w.lambda[j] -= w.pair_lambda[j];
      w.hessian[j] += w.pair_hessian[j];
    }
    for (int64_t j = i + 1; j < n; ++j) {
      const double lambda = w.pair_lambda[j];
      w.lambda[i] += lambda;
      w.hessian[i] += w.pair_hessian[j];
      total += 2.0 * (lambda < 0 ? -lambda : lambda);
    }
  }
  double factor = a.query_weight ? a.query_weight[q] : 1.0;
  if (a.normalize && total > 0.0) factor *= portable_log(1.0 + total) / kLn2 / total;
  for (int64_t i = 0; i < n; ++i) {
    a.gradient[first + w.order[i]] = static_cast<float>(w.lambda[i] * factor);
    a.hessian[first + w.order[i]] = static_cast<float>(w.hessian[i] * factor);
  }
}

}  // namespace

void rank_gradient(const RankGradientArgs& a) {
  int64_t longest = 0;
  std::vector<int64_t> starts{0};  // the first query of each task
  for (int64_t q = 0; q < a.queries; ++q) {
    longest = std::max(longest, a.query_offset[q + 1] - a.query_offset[q]);
    if (a.query_offset[q + 1] - a.query_offset[starts.back()] >= kRowsPerTask) {
      starts.push_back(q + 1);
    }
  }
  if (starts.back() < a.queries) starts.push_back(a.queries);
  std::vector<double> discounts(longest);
  for (int64_t i = 0; i < longest; ++i) discounts[i] = discount(i);
  parallel_tasks(static_cast<int64_t>(starts.size()) - 1, [&](int64_t task) {
    Workspace workspace;
    for (int64_t q = starts[task]; q < starts[task + 1]; ++q) query(a, q, discounts, workspace);
  });
}

}  // namespace pyllm::PYLLM_ISA
