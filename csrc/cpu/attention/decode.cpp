// Attention of one or a few new queries a sequence against its cache of keys and values.
//
// Bound by reading the cache once. A cache row (one position) holds all key/value heads side by
// side, so a task takes a stretch of positions of one sequence with every head and reads memory in
// order, four positions at a time while the next four are fetched (they lie in other pages, where
// the hardware sees no pattern); with few heads or a single sequence the stretches still keep all
// threads busy. Each stretch leaves, per query and head, its maximum m, sum of exponentials l and
// weighted sum of values a; they are joined in order:
//
//   m = max m_s,  out = sum_s 2^(m_s - m) a_s / sum_s 2^(m_s - m) l_s
//
// Position j of a paged cache lies in block blocks[j / block_size] at row j % block_size. Stretches
// depend on the lengths alone: the same bits at any thread count.
#include "core/parallel.h"
#include "cpu/attention.h"
#include "cpu/attention/problem.h"
#include "cpu/attention/tiles.h"
#include "cpu/vmath.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kStretch = 64;  // positions a query and task
constexpr int64_t kTile = 64;     // positions whose scores are held at once
constexpr int kTogether = 4;      // positions read side by side

struct Stretch {
  int64_t sequence, begin, end;
};

// Dot products of kTogether rows with one: sums[r] = x . rows[r].
template <class T, class C>
void dots(const C* x, const T* const* rows, int64_t d, C* sums) {
  constexpr int L = Vec<C>::lanes;
  Vec<C> s[kTogether];
  for (auto& v : s) v = C(0);
  int64_t c = 0;
  for (; c + L <= d; c += L) {
    const Vec<C> a = load(x + c);
#pragma GCC unroll 4
    for (int r = 0; r < kTogether; ++r) s[r] += a * load(rows[r] + c);
  }
  if (c < d) {
    const int count = static_cast<int>(d - c);
    for (int r = 0; r < kTogether; ++r) s[r] += load(x + c) * load(rows[r] + c, count);
  }
  if constexpr (sizeof(C) == 4) {
    // Fold to four lanes, then add across by transposing: cheaper than four horizontal sums.
    float quads[kTogether][4];
    for (int r = 0; r < kTogether; ++r) {
      float lanes[L];
      store(lanes, s[r]);
      detail::Quad sum{};
      for (int i = 0; i < L; i += 4) {
        detail::Quad part;
        std::memcpy(&part, lanes + i, 16);
        sum += part;
      }
      std::memcpy(quads[r], &sum, 16);
    }
    float across[4][kTogether];
    detail::transpose_quad(quads[0], 4, across[0], 4);
    for (int r = 0; r < kTogether; ++r) {
      sums[r] = (across[0][r] + across[1][r]) + (across[2][r] + across[3][r]);
    }
  } else {
    for (int r = 0; r < kTogether; ++r) sums[r] = sum(s[r]);
  }
}

template <class T>
class Decode {
  using C = compute_t<T>;
  using V = Vec<C>;
  static constexpr C kInf = std::numeric_limits<C>::infinity();

 public:
  explicit Decode(const DecodeArgs& a)
      : a_(a),
        batch_(a.q.shape[0]),
        queries_(a.q.shape[1]),
        heads_(a.q.shape[2]),
        kv_heads_(a.k.shape[2]),
        d_(a.q.shape[3]),
        dv_(a.v.shape[3]),
        ld_(padded<C>(d_)),
        ldv_(padded<C>(dv_)),
        rows_(queries_ * heads_) {}

  void run() {
    std::vector<Stretch> stretches;
    std::vector<int64_t> first(batch_ + 1);
    for (int64_t b = 0; b < batch_; ++b) {
      first[b] = static_cast<int64_t>(stretches.size());
      const int64_t end = a_.lengths[b];
      const int64_t step = kStretch * queries_;
      for (int64_t j = std::max<int64_t>(0, end - queries_ - a_.options.left); j < end; j += step) {
        stretches.push_back({b, j, std::min(j + step, end)});
      }
    }
    const auto count = static_cast<int64_t>(stretches.size());
    first[batch_] = count;
    Scratch memory(Scratch::size_of_part<C>(count * rows_ * ldv_) +
                   2 * Scratch::size_of_part<C>(count * rows_));
    C* sums = memory.take<C>(count * rows_ * ldv_);
    C* tops = memory.take<C>(count * rows_);
    C* totals = memory.take<C>(count * rows_);
    parallel_tasks(count, [&](int64_t i) {
      take(stretches[i], sums + i * rows_ * ldv_, tops + i * rows_, totals + i * rows_);
    });
    parallel_for(batch_ * rows_, 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t b = i / rows_, row = i % rows_;
        join(b, row, first[b], first[b + 1], sums, tops, totals);
      }
    });
  }

 private:
  const T* position(const Array& cache, int64_t b, int64_t j) const {
    if (!a_.blocks) return cache.as<T>() + b * cache.strides[0] + j * cache.strides[1];
    const int64_t size = cache.shape[1];
    const int64_t block = a_.blocks[b * a_.blocks_per_sequence + j / size];
    return cache.as<T>() + block * cache.strides[0] + j % size * cache.strides[1];
  }

  // One stretch of one sequence, all heads.
  void take(const Stretch& s, C* sums, C* tops, C* totals) const {
    Scratch scratch(Scratch::size_of_part<C>(rows_ * ld_) +
                    Scratch::size_of_part<C>(rows_ * kTile));
    C* q = scratch.take<C>(rows_ * ld_);
    C* scores = scratch.take<C>(rows_ * kTile);
    const C scale = C(a_.options.softcap > 0 ? a_.options.scale / a_.options.softcap
                                             : a_.options.scale * kLog2E);
    for (int64_t i = 0; i < queries_; ++i) {
      const T* from = a_.q.as<T>() + s.sequence * a_.q.strides[0] + i * a_.q.strides[1];
      std::fill(q + i * heads_ * ld_, q + (i + 1) * heads_ * ld_, C(0));
      copy_rows(from, a_.q.strides[2], heads_, heads_, d_, q + i * heads_ * ld_, scale);
    }
    std::fill(sums, sums + rows_ * ldv_, C(0));
    std::fill(tops, tops + rows_, -kInf);
    std::fill(totals, totals + rows_, C(0));
    for (int64_t j = s.begin; j < s.end; j += kTile) {
      const int64_t n = std::min(kTile, s.end - j);
      // Keys, values behind them, and what follows the last of either when four are fetched ahead.
      // Positions past the end repeat the last, with weight 0.
      const int64_t whole = (n + kTogether - 1) / kTogether * kTogether;
      const T* rows[2 * kTile + kTogether];
      const T **k = rows, **v = rows + whole;
      for (int64_t i = 0; i < whole + kTogether; ++i) {
        const int64_t at = std::min(j + i, s.end - 1);
        if (i < whole) k[i] = position(a_.k, s.sequence, at);
        v[i] = position(a_.v, s.sequence, at);
      }
      for (int64_t i = 0; i < n; i += kTogether) score(q, k + i, scores + i);
      for (int64_t row = 0; row < rows_; ++row) {
        softmax(s.sequence, row, j, n, scores + row * kTile, sums + row * ldv_, tops[row],
                totals[row]);
      }
      for (int64_t i = 0; i < n; i += kTogether) weigh(scores + i, v + i, sums);
    }
  }

  // Asks for a head's row of the kTogether positions after those in `rows`.
  static void fetch_next(const T* const* rows, int64_t head, int64_t d) {
    constexpr int64_t kLine = 64 / sizeof(T);
    for (int r = kTogether; r < 2 * kTogether; ++r) {
      for (int64_t c = 0; c < d; c += kLine) __builtin_prefetch(rows[r] + head + c);
    }
  }

  // scores[row][0..kTogether) of the positions in k.
  void score(const C* q, const T* const* k, C* scores) const {
    const int64_t group = heads_ / kv_heads_;
    for (int64_t h = 0; h < kv_heads_; ++h) {
      const T* at[kTogether];
      for (int r = 0; r < kTogether; ++r) at[r] = k[r] + h * a_.k.strides[2];
      fetch_next(k, h * a_.k.strides[2], d_);
      for (int64_t i = 0; i < queries_; ++i) {
        for (int64_t g = 0; g < group; ++g) {
          const int64_t row = i * heads_ + h * group + g;
          dots(q + row * ld_, at, d_, scores + row * kTile);
        }
      }
    }
  }

  // Raw scores of positions [j, j + n) to weights; the row's earlier sum shrinks with its maximum.
  void softmax(int64_t sequence, int64_t row, int64_t j, int64_t n, C* scores, C* sum_of_values,
               C& top, C& total) const {
    const int64_t p = a_.lengths[sequence] - queries_ + row / heads_;  // the query's own position
    const int64_t first = std::max<int64_t>(0, p - a_.options.left - j);
    const int64_t end = std::min<int64_t>(n, p + 1 - j);
    std::fill(scores, scores + std::min(first, kTile), -kInf);
    std::fill(scores + std::clamp<int64_t>(end, 0, kTile), scores + kTile, -kInf);
    if (first >= end) return std::fill(scores, scores + kTile, C(0));
    if (a_.options.softcap > 0) {
      const C cap = C(a_.options.softcap * kLog2E);
      for (int64_t x = first; x < end; x += V::lanes) {
        const int count = lanes_left<C>(end - x);
        store(scores + x, tanh(load(scores + x, count)) * cap, count);
      }
    }
    if (a_.options.alibi) {
      const Array& slopes = *a_.options.alibi;
      const C slope =
          C(kLog2E) *
          slopes.as<float>()[sequence * slopes.strides[0] + row % heads_ * slopes.strides[1]];
      for (int64_t x = first; x < end; ++x) scores[x] -= slope * C(p - j - x);
    }
    V most = top;
    for (int64_t x = 0; x < kTile; x += V::lanes) most = max(load(scores + x), most);
    const C now = max_of(most);
    const C base = now == -kInf ? C(0) : now;
    V sum_of_weights = C(0);
    for (int64_t x = 0; x < kTile; x += V::lanes) {
      const V w = exp2_nonpositive(load(scores + x) - base);
      sum_of_weights += w;
      store(scores + x, w);
    }
    const C factor = exp2_nonpositive(V(top - base))[0];
    top = now;
    total = total * factor + sum(sum_of_weights);
    if (factor == C(1)) return;
    for (int64_t c = 0; c < ldv_; c += V::lanes) {
      store(sum_of_values + c, load(sum_of_values + c) * factor);
    }
  }

  // Adds the values of kTogether positions, weighted, to every row's sum.
  void weigh(const C* weights, const T* const* v, C* sums) const {
    const int64_t group = heads_ / kv_heads_;
    for (int64_t h = 0; h < kv_heads_; ++h) {
      const int64_t at = h * a_.v.strides[2];
      fetch_next(v, at, dv_);
      for (int64_t i = 0; i < queries_; ++i) {
        for (int64_t g = 0; g < group; ++g) {
          const int64_t row = i * heads_ + h * group + g;
          const C* w = weights + row * kTile;
          C* to = sums + row * ldv_;
          for (int64_t c = 0; c < dv_; c += V::lanes) {
            const int count = lanes_left<C>(dv_ - c);
            V s = load(to + c);
#pragma GCC unroll 4
            for (int r = 0; r < kTogether; ++r) s += load(v[r] + at + c, count) * w[r];
            store(to + c, s);
          }
        }
      }
    }
  }

  void join(int64_t b, int64_t row, int64_t begin, int64_t end, C* sums, const C* tops,
            const C* totals) const {
    T* out = a_.out.as<T>() + b * a_.out.strides[0] + row / heads_ * a_.out.strides[1] +
             row % heads_ * a_.out.strides[2];
    C top = -kInf;
    for (int64_t s = begin; s < end; ++s) {
      const C own = tops[s * rows_ + row];
      top = own > top || own != own ? own : top;
    }
    const C base = top == -kInf ? C(0) : top;
    C total = 0;
    for (int64_t s = begin; s < end; ++s) {
      total += totals[s * rows_ + row] * exp2_nonpositive(V(tops[s * rows_ + row] - base))[0];
    }
    const C inverse = total == C(0) ? C(0) : C(1) / total;
    for (int64_t c = 0; c < dv_; c += V::lanes) {
      V value = C(0);
      for (int64_t s = begin; s < end; ++s) {
        const V factor = exp2_nonpositive(V(tops[s * rows_ + row] - base));
        value += load(sums + (s * rows_ + row) * ldv_ + c) * factor;
      }
      store(out + c, value * inverse, lanes_left<C>(dv_ - c));
    }
  }

  const DecodeArgs& a_;
  const int64_t batch_, queries_, heads_, kv_heads_, d_, dv_, ld_, ldv_, rows_;
};

}  // namespace

void attention_decode(const DecodeArgs& a) {
  if (a.out.size() == 0) return;
  with_float_type(a.q.dtype, [&](auto tag) { Decode<typename decltype(tag)::type>(a).run(); });
}

}  // namespace pyllm::PYLLM_ISA
