// Rows of numbers to the integer keys that packed trees compare; pack.h says what a key is.
//
// kForestLanes rows at a time: their entries are set side by side, one feature after the other,
// and then every column is computed with one vector of lanes.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "core/scratch.h"
#include "cpu/trees/predict.h"

namespace pyllm::PYLLM_ISA {

// How x becomes a key.
enum class Keying { narrow, nearest, up, wide };

template <Keying K>
using KeyOf = std::conditional_t<K == Keying::wide, uint64_t, uint32_t>;

// x is not NaN.
template <Keying K, class T>
KeyOf<K> key_of(T x) {
  if constexpr (K == Keying::wide) {
    const double d = static_cast<double>(x) + 0.0;  // -0 becomes 0
    int64_t bits;
    std::memcpy(&bits, &d, 8);
    return bits ^ (bits >> 63 | std::numeric_limits<int64_t>::min());
  } else {
    const float f = static_cast<float>(x) + 0.0f;
    int32_t bits;
    std::memcpy(&bits, &f, 4);
    const uint32_t key = bits ^ (bits >> 31 | std::numeric_limits<int32_t>::min());
    // The next key is the next float.
    if constexpr (K == Keying::up) return key + (static_cast<T>(f) < x ? 1 : 0);
    return key;
  }
}

template <Keying K, class T>
T rounded(T x) {
  return K == Keying::nearest ? static_cast<T>(static_cast<float>(x)) : x;
}

// Keys of one column for kForestLanes rows.
template <Keying K, class T>
void column_keys(const ForestColumn& column, const T* x, KeyOf<K>* keys) {
  using Key = KeyOf<K>;
  constexpr T kZero = static_cast<T>(1e-35);  // LightGBM's idea of zero
  if (column.categorical) {
    constexpr Key kNone = std::numeric_limits<Key>::max();
    for (int i = 0; i < kForestLanes; ++i) {
      const T value = rounded<K>(x[i]);
      const bool missing = value != value || (column.zero_is_missing && std::abs(value) <= kZero);
      const bool known = value >= 0 && value < static_cast<T>(kCategoryLimit);
      const Key category = known ? static_cast<Key>(value) + kFirstCategory : kNone;
      keys[i] = missing ? Key{kMissingCategory} : category;
    }
    return;
  }
  const Key missing_key =
      column.missing_left ? std::numeric_limits<Key>::min() : std::numeric_limits<Key>::max();
  if (column.zero_is_missing) {
    for (int i = 0; i < kForestLanes; ++i) {
      const T value = rounded<K>(x[i]);
      const bool missing = value != value || std::abs(value) <= kZero;
      keys[i] = missing ? missing_key : key_of<K>(x[i]);
    }
  } else {
    for (int i = 0; i < kForestLanes; ++i) {
      const Key key = key_of<K>(x[i]);
      keys[i] = x[i] != x[i] ? missing_key : key;
    }
  }
}

// Entries of kForestLanes rows side by side: entries[slot * kForestLanes + row]. T: their type.
template <class T>
class RowReader {
 public:
  RowReader(const PackedForest& forest, const ForestRows& rows) : forest_(forest), rows_(rows) {}

  // Rows [begin, begin + count); lanes beyond hold anything.
  void read(int64_t begin, int count, T* entries) const {
    if (rows_.indptr == nullptr) {
      read_dense(begin, count, entries);
    } else if (rows_.indices.dtype == DType::i32) {
      read_csr(rows_.indices.as<int32_t>(), begin, count, entries);
    } else {
      read_csr(rows_.indices.as<int64_t>(), begin, count, entries);
    }
  }

 private:
  void read_dense(int64_t begin, int count, T* entries) const {
    const int64_t row_stride = rows_.x.strides[0], stride = rows_.x.strides[1];
    const T* x = rows_.x.as<T>() + begin * row_stride;
    const size_t features = forest_.features.size();
    if (row_stride == 1 && count == kForestLanes) {
      for (size_t slot = 0; slot < features; ++slot) {
        std::memcpy(entries + slot * kForestLanes, x + forest_.features[slot] * stride,
                    kForestLanes * sizeof(T));
      }
      return;
    }
    for (size_t slot = 0; slot < features; ++slot) {
      const T* from = x + forest_.features[slot] * stride;
      T* to = entries + slot * kForestLanes;
      if (count == kForestLanes) {
        for (int i = 0; i < kForestLanes; ++i) to[i] = from[i * row_stride];
      } else {
        for (int i = 0; i < count; ++i) to[i] = from[i * row_stride];
      }
    }
  }

  template <class Index>
  void read_csr(const Index* indices, int64_t begin, int count, T* entries) const {
    const T absent = static_cast<T>(rows_.absent);
    const size_t size = forest_.features.size() * kForestLanes;
    for (size_t i = 0; i < size; ++i) entries[i] = absent;
    for (int row = 0; row < count; ++row) {
      const int64_t end = rows_.indptr[begin + row + 1];
      for (int64_t i = rows_.indptr[begin + row]; i < end; ++i) {
        const int32_t slot = forest_.slot_of[indices[i]];
        if (slot >= 0) entries[slot * int64_t{kForestLanes} + row] = rows_.x.as<T>()[i];
      }
    }
  }

  const PackedForest& forest_;
  const ForestRows& rows_;
};

// Keys of kForestLanes rows at a time: keys[column * kForestLanes + row].
template <class Key>
class RowKeys {
 public:
  RowKeys(const PackedForest& forest, const ForestRows& rows)
      : forest_(forest), rows_(rows), entries_(size() * sizeof(double)) {
    std::memset(entries_.data(), 0, size() * sizeof(double));
  }

  // Rows [begin, begin + count); lanes beyond hold the keys of any numbers.
  void encode(int64_t begin, int64_t count, Key* keys) {
    const bool doubles = rows_.x.dtype == DType::f64;
    if constexpr (sizeof(Key) == 8) {
      doubles ? run<double, Keying::wide>(begin, count, keys)
              : run<float, Keying::wide>(begin, count, keys);
    } else if (!doubles) {
      run<float, Keying::narrow>(begin, count, keys);
    } else if (rows_.rounding == RowRounding::nearest) {
      run<double, Keying::nearest>(begin, count, keys);
    } else {
      run<double, Keying::up>(begin, count, keys);
    }
  }

 private:
  size_t size() const { return (forest_.features.size() + 1) * kForestLanes; }

  template <class T, Keying K>
  void run(int64_t begin, int64_t count, Key* keys) {
    T* entries = reinterpret_cast<T*>(entries_.data());
    RowReader<T>(forest_, rows_).read(begin, static_cast<int>(count), entries);
    for (size_t c = 0; c < forest_.columns.size(); ++c) {
      const ForestColumn& column = forest_.columns[c];
      column_keys<K>(column, entries + size_t{column.slot} * kForestLanes, keys + c * kForestLanes);
    }
  }

  const PackedForest& forest_;
  const ForestRows& rows_;
  Scratch<char> entries_;
};

}  // namespace pyllm::PYLLM_ISA
