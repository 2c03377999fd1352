// What a batch of attention consists of: sequences, the band of keys each query sees, and the
// blocks of queries that are handed out as tasks.
#pragma once

#include <algorithm>
#include <vector>

#include "cpu/attention.h"

namespace pyllm::PYLLM_ISA {

constexpr int64_t kTileKeys = 64;

// A sequence: one batch entry, or one stretch of a packed batch.
struct Sequence {
  int64_t batch;  // entry of q, k, v
  int64_t index;  // entry of bias and alibi
  int64_t q_begin, queries;
  int64_t k_begin, keys;
};

inline int64_t sequence_count(const AttentionOptions& o, const Array& q) {
  return o.q_starts ? o.sequences : q.shape[0];
}

inline Sequence sequence(const AttentionOptions& o, const Array& q, const Array& k, int64_t s) {
  if (!o.q_starts) return {s, s, 0, q.shape[1], 0, k.shape[1]};
  return {0,
          s,
          o.q_starts[s],
          o.q_starts[s + 1] - o.q_starts[s],
          o.k_starts[s],
          o.k_starts[s + 1] - o.k_starts[s]};
}

// The keys [i + offset - left, i + offset + right] that query i sees, cut to those there are.
struct Band {
  int64_t offset, left, right, keys;

  Band(const AttentionOptions& o, const Sequence& s)
      : offset(s.keys - s.queries), left(o.left), right(o.right), keys(s.keys) {}

  int64_t first(int64_t i) const { return std::clamp<int64_t>(i + offset - left, 0, keys); }
  int64_t end(int64_t i) const { return std::clamp<int64_t>(i + offset + right + 1, 0, keys); }

  // Whether every query of [i, i_end) sees every key of [j, j_end).
  bool covers(int64_t i, int64_t i_end, int64_t j, int64_t j_end) const {
    return first(i_end - 1) <= j && j_end <= end(i);
  }
};

// A block of queries of one head: the unit of work of the forward.
struct QueryBlock {
  int64_t sequence, head, begin, end;
};

// All blocks of at most `rows` queries. A head's follow each other, so that its keys and values are
// still in cache; the long sequences and, within a head, the late queries (which see most when
// causal) go first, so that the last tasks to finish are light.
inline std::vector<QueryBlock> query_blocks(const AttentionOptions& o, const Array& q,
                                            const Array& k, int64_t rows) {
  std::vector<std::pair<double, int64_t>> order;
  for (int64_t s = 0; s < sequence_count(o, q); ++s) {
    const Sequence at = sequence(o, q, k, s);
    order.emplace_back(-double(at.queries) * double(at.keys), s);
  }
  std::sort(order.begin(), order.end());
  std::vector<QueryBlock> blocks;
  for (const auto& [work, s] : order) {
    const int64_t queries = sequence(o, q, k, s).queries;
    for (int64_t head = 0; head < q.shape[2]; ++head) {
      for (int64_t end = queries; end > 0;) {
        const int64_t begin = (end - 1) / rows * rows;
        blocks.push_back({s, head, begin, end});
        end = begin;
      }
    }
  }
  return blocks;
}

// One head of a (batch, seq, heads, dim) array.
template <class T>
struct Head {
  T* data;
  int64_t stride;  // from one position to the next

  Head(const Array& a, int64_t batch, int64_t position, int64_t head)
      : data(a.as<T>() + batch * a.strides[0] + position * a.strides[1] + head * a.strides[2]),
        stride(a.strides[1]) {}

  T* row(int64_t i) const { return data + i * stride; }
};

}  // namespace pyllm::PYLLM_ISA
