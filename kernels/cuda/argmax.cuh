// As reduction.cuh goes along rows: each thread keeps the first extremum of its elements, the team
// finds the value of the best, then the first place that has it. A row that is cut into chunks is
// joined by a second launch. The smallest element is the largest of the negative ones.
#pragma once

#include "argmax.h"
#include "reduction.cuh"

namespace pyllm::cuda {

struct Candidate {
  float value = -INFINITY;
  int64_t place = INT64_MAX;  // none yet

  PYLLM_DEVICE void meet(float other, int64_t at) {
    const bool is_better = other > value || (other != other && value == value);
    if (is_better || place == INT64_MAX) value = other, place = at;
  }
};

// Of the candidates of a team's threads; the same for all of them.
template <int kThreads>
PYLLM_DEVICE Candidate best_of_team(const Candidate& mine, const dev::Shared<float>& values,
                                    const dev::Shared<int64_t>& places) {
  using Team = RowTeam<kThreads>;
  const float top = Team::template reduce<Highest>(mine.value, values);
  const bool has_it = mine.value == top || (mine.value != mine.value && top != top);
  int64_t place = has_it ? mine.place : INT64_MAX;
  if constexpr (Team::kRows > 1) {
    place = dev::warp_reduce<dev::Least>(place);
  } else {
    place = dev::block_reduce<dev::Least, kThreads>(place, places);
  }
  return {top, place};
}

// grid.y is the number of chunks.
template <class T, int kThreads>
__global__ void __launch_bounds__(RowTeam<kThreads>::kBlock) extremum_places(ExtremumPlaces a) {
  using Team = RowTeam<kThreads>;
  PYLLM_SHARED(float, values, Team::kScratch);
  PYLLM_SHARED(int64_t, places, Team::kScratch);
  const int64_t row = Team::row();
  if (row >= a.rows) return;
  const Stretch s = stretch_of(blockIdx.y, gridDim.y, a.columns);
  const T* x = static_cast<const T*>(a.x) + row * a.columns;
  const float sign = a.smallest ? -1.0f : 1.0f;
  Candidate best;
#pragma unroll 4
  for (int64_t i = s.begin + Team::rank(); i < s.end; i += kThreads) {
    best.meet(sign * dev::to_float(dev::ldg(x + i)), i);
  }
  best = best_of_team<kThreads>(best, values, places);
  if (Team::rank() != 0) return;
  if (a.chunks == 1) {
    dev::stg(a.y + row, best.place);
  } else {
    dev::stg(a.values + (row * a.chunks + blockIdx.y), best.value);
    dev::stg(a.places + (row * a.chunks + blockIdx.y), best.place);
  }
}

// A warp a row. Chunks come in the order of their places.
template <int kThreads>
__global__ void __launch_bounds__(RowTeam<kThreads>::kBlock) join_places(ExtremumPlaces a) {
  using Team = RowTeam<kThreads>;
  PYLLM_SHARED(float, values, Team::kScratch);
  PYLLM_SHARED(int64_t, places, Team::kScratch);
  const int64_t row = Team::row();
  if (row >= a.rows) return;
  Candidate best;
  for (int64_t i = row * a.chunks + Team::rank(); i < (row + 1) * a.chunks; i += kThreads) {
    best.meet(dev::ldg(a.values + i), dev::ldg(a.places + i));
  }
  best = best_of_team<kThreads>(best, values, places);
  if (Team::rank() == 0) dev::stg(a.y + row, best.place);
}

}  // namespace pyllm::cuda
