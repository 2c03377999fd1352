// Elementwise ops on arrays of one shape and any strides.
//
// Neighbouring axes that are contiguous to each other in every array are merged, so plain arrays
// become one long run; what is left is cut into pieces of the last axis, spread evenly over the
// threads. A kernel sees contiguous memory: pieces with other strides go through buffers that stay
// in the L1 cache. A broadcast array (a bias) has stride 0 along the axes it lacks. Outputs that
// outgrow the caches are stored past them.
#pragma once

#include <algorithm>
#include <array>

#include "core/array.h"
#include "core/parallel.h"
#include "cpu/streaming.h"

namespace pyllm::PYLLM_ISA {

template <size_t N>
class Walk {
 public:
  explicit Walk(const std::array<Array, N>& arrays) {
    for (int i = 0; i < arrays[0].ndim; ++i) {
      if (arrays[0].shape[i] == 1) continue;
      if (ndim_ > 0 && merges(arrays, i)) {
        shape_[ndim_ - 1] *= arrays[0].shape[i];
      } else {
        shape_[ndim_++] = arrays[0].shape[i];
      }
      for (size_t k = 0; k < N; ++k) strides_[ndim_ - 1][k] = arrays[k].strides[i];
    }
    if (ndim_ == 0) {
      shape_[ndim_++] = 1;
      strides_[0].fill(1);
    }
    for (int i = 0; i < ndim_; ++i) size_ *= shape_[i];
  }

  int64_t size() const { return size_; }
  int64_t stride(size_t k) const { return strides_[ndim_ - 1][k]; }

  // piece(offsets, index of the first element in row-major order, length), covering [begin, end).
  template <class F>
  void pieces(int64_t begin, int64_t end, F&& piece) const {
    const int64_t run = shape_[ndim_ - 1];
    while (begin < end) {
      const int64_t length = std::min(end - begin, run - begin % run);
      std::array<int64_t, N> offsets{};
      int64_t index = begin;
      for (int i = ndim_ - 1; i >= 0; --i) {
        for (size_t k = 0; k < N; ++k) offsets[k] += index % shape_[i] * strides_[i][k];
        index /= shape_[i];
      }
      piece(offsets, begin, length);
      begin += length;
    }
  }

 private:
  bool merges(const std::array<Array, N>& arrays, int axis) const {
    for (size_t k = 0; k < N; ++k) {
      if (strides_[ndim_ - 1][k] != arrays[k].shape[axis] * arrays[k].strides[axis]) return false;
    }
    return true;
  }

  int ndim_ = 0;
  int64_t size_ = 1;
  std::array<int64_t, kMaxDims> shape_{};
  std::array<std::array<int64_t, N>, kMaxDims> strides_{};
};

constexpr int64_t kElementwiseGrain = 16384;  // elements a thread should have to be worth waking
constexpr int64_t kElementwiseBlock = 256;    // elements of a strided piece buffered at a time

// kernel(in pointers, out pointers, index of the first element, length, writer) over all elements;
// the split among threads falls on multiples of 64.
template <class T, size_t I, size_t O, class F>
void elementwise(const std::array<Array, I>& in, const std::array<Array, O>& out, F&& kernel) {
  std::array<Array, I + O> all;
  std::copy(in.begin(), in.end(), all.begin());
  std::copy(out.begin(), out.end(), all.begin() + I);
  const Walk<I + O> walk(all);
  bool contiguous = true, streamed = true;
  for (size_t k = 0; k < I + O; ++k) contiguous &= walk.stride(k) == 1;
  for (const Array& y : out) {
    // Several outputs are written vector by vector, so they must be aligned to each other.
    streamed &=
        reinterpret_cast<uintptr_t>(y.data) % 64 == reinterpret_cast<uintptr_t>(out[0].data) % 64;
    for (const Array& x : in) streamed &= x.data != y.data;
  }
  streamed = streamed && contiguous && streams(out);
  const int64_t groups = (walk.size() + 63) / 64;
  parallel_for(groups, kElementwiseGrain / 64, [&](int64_t first, int64_t last) {
    const int64_t begin = first * 64, end = std::min(last * 64, walk.size());
    std::array<const T*, I> from;
    std::array<T*, O> to;
    if (contiguous) {
      with_writer(streamed, [&](auto put) {
        walk.pieces(begin, end, [&](const auto& offsets, int64_t index, int64_t length) {
          for (size_t k = 0; k < I; ++k) from[k] = in[k].template as<T>() + offsets[k];
          for (size_t k = 0; k < O; ++k) to[k] = out[k].template as<T>() + offsets[I + k];
          kernel(from, to, index, length, put);
        });
      });
      return;
    }
    T buffer[I + O][kElementwiseBlock];
    walk.pieces(begin, end, [&](const auto& offsets, int64_t index, int64_t length) {
      for (size_t k = 0; k < I; ++k) {
        if (walk.stride(k) != 0) continue;
        const Vec<compute_t<T>> value = widen(in[k].template as<T>()[offsets[k]]);
        const int64_t n = std::min(kElementwiseBlock, length);
        for (int64_t i = 0; i < n; i += value.lanes) store(buffer[k] + i, value);
      }
      for (int64_t done = 0; done < length; done += kElementwiseBlock) {
        const int64_t n = std::min(kElementwiseBlock, length - done);
        for (size_t k = 0; k < I; ++k) {
          const int64_t stride = walk.stride(k);
          const T* p = in[k].template as<T>() + offsets[k] + done * stride;
          from[k] = stride == 1 ? p : buffer[k];
          if (stride == 0 || stride == 1) continue;
          for (int64_t i = 0; i < n; ++i) buffer[k][i] = p[i * stride];
        }
        for (size_t k = 0; k < O; ++k) {
          const int64_t stride = walk.stride(I + k);
          T* p = out[k].template as<T>() + offsets[I + k] + done * stride;
          to[k] = stride == 1 ? p : buffer[I + k];
        }
        kernel(from, to, index + done, n, Cached{});
        for (size_t k = 0; k < O; ++k) {
          const int64_t stride = walk.stride(I + k);
          if (stride == 1) continue;
          T* p = out[k].template as<T>() + offsets[I + k] + done * stride;
          for (int64_t i = 0; i < n; ++i) p[i * stride] = buffer[I + k][i];
        }
      }
    });
  });
}

// step(i, count) for each vector of [0, n): whole ones with a count the compiler sees.
template <class C, class F>
void for_vectors(int64_t n, F&& step) {
  constexpr int64_t L = Vec<C>::lanes;
  int64_t i = 0;
  for (; i + L <= n; i += L) step(i, static_cast<int>(L));
  if (i < n) step(i, static_cast<int>(n - i));
}

}  // namespace pyllm::PYLLM_ISA
