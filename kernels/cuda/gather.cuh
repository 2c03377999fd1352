// A thread a piece of a row, neighbours along the row: an element, or up to 16 bytes of them where
// rows are made of such pieces (gather.cu).
#pragma once

#include "device.cuh"
#include "gather.h"

namespace pyllm::cuda {

constexpr int kGatherThreads = 256;

template <class T, bool kScatter>
__global__ void __launch_bounds__(kGatherThreads) move_rows(RowsByNumber a) {
  const int64_t i = int64_t{blockIdx.x} * kGatherThreads + threadIdx.x;
  if (i >= a.rows * a.width) return;
  const int64_t row = i / a.width, number = dev::ldg(a.numbers + row);
  const int64_t in_table = number * a.width + (i - row * a.width);
  const bool is_there = number >= 0 && number < a.entries;
  const T* from = static_cast<const T*>(a.from);
  T* to = static_cast<T*>(a.to);
  if constexpr (kScatter) {
    if (is_there) dev::stg(to + in_table, dev::ldg(from + i));
  } else {
    dev::stg(to + i, is_there ? dev::ldg(from + in_table) : T{});
  }
}

}  // namespace pyllm::cuda
