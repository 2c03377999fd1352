// Attention backward, from q, k, v, the output, its gradient and the saved log-sum-exp:
//
//   P = exp(S - lse)          delta_i = sum_d dout_id out_id
//   dV = P^T dout             dP = dout V^T
//   dS = P (dP - delta)       dQ = scale dS K,  dK = scale dS^T Q,  dbias = dS summed as broadcast
//
// (with dropout, P in dV and dP are times the multipliers of the forward). Tiles are transposed as
// in the forward: lanes are queries, so dV and dK take P^T and dS^T as they are, and dQ^T
// accumulates beside its panel. Nothing T x T exists; five products a tile.
//
// A task owns a key/value head of a sequence and goes over its queries in order, keeping dK and dV
// of the whole head in float32; a block of queries keeps dQ. Where there are fewer heads than
// kTasks, several tasks share a head: each sums its own dK and dV, added up in order at the end.
// How work is cut depends on the shapes alone, so the result does not depend on the thread count.
#include <memory>

#include "core/parallel.h"
#include "cpu/attention.h"
#include "cpu/attention/keys.h"
#include "cpu/attention/scores.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kBlockQueries = 256;
constexpr int64_t kTasks = 16;

// Sums of dK and dV of one head, [keys][padded d] and [keys][padded dv].
template <class C>
struct KeyGradients {
  C *dk, *dv;
};

// Scratch memory of a thread's tasks: one block of queries, one tile of keys.
template <class T>
class BackwardBlock {
  using C = compute_t<T>;
  using V = Vec<C>;
  static constexpr int64_t W = kPanel;
  static constexpr int64_t kPanels = (kBlockQueries + W - 1) / W;
  static constexpr C kInf = std::numeric_limits<C>::infinity();

 public:
  BackwardBlock(const AttentionBackwardArgs& a, const Sequence& s)
      : a_(a),
        sequence_(s),
        d_(a.q.shape[3]),
        dv_(a.v.shape[3]),
        ld_(padded<C>(d_)),
        ldv_(padded<C>(dv_)),
        scratch_(bytes()),
        queries_t_(scratch_.take<C>(kPanels * W * d_)),
        queries_(scratch_.take<C>(kPanels * W * ld_)),
        dqueries_(scratch_.take<C>(kPanels * W * d_)),
        grads_t_(scratch_.take<C>(kPanels * W * dv_)),
        grads_(scratch_.take<C>(kPanels * W * ldv_)),
        lse_(scratch_.take<C>(kPanels * W)),
        delta_(scratch_.take<C>(kPanels * W)),
        p_(scratch_.take<C>(kTileKeys * W)),
        ds_(scratch_.take<C>(kTileKeys * W)),
        keep_(scratch_.take<C>(kTileKeys * W)),
        cap_slope_(scratch_.take<C>(kTileKeys * W)),
        keys_(scratch_.take<C>(kTileKeys * ld_)),
        values_(scratch_.take<C>(kTileKeys * ldv_)) {}

  // Adds the part of queries [begin, end) of a head to the gradients; writes their dQ.
  void run(int64_t head, int64_t begin, int64_t end, const KeyGradients<C>& sums) {
    const Scores<C> scores(a_.options, sequence_, head);
    const Dropout<C> dropout(a_.options, a_.q, a_.k, sequence_, head);
    const KeyTiles<T> tiles(a_.options, a_.k, a_.v, sequence_,
                            head / (a_.q.shape[2] / a_.k.shape[2]));
    read_queries(head, begin, end);
    const Band& band = scores.band();
    const int64_t last = band.end(end - 1);
    for (int64_t j = band.first(begin); j < last; j += kTileKeys) {
      const int64_t n = std::min(kTileKeys, last - j);
      if (!tiles.any(j, n)) continue;
      tiles.copy_keys(j, n, keys_);
      tiles.copy_values(j, n, values_);
      tiles.prefetch(j + n, std::min(kTileKeys, last - j - n));
      for (int64_t i = begin; i < end; i += W) {
        const int64_t queries = std::min(W, end - i);
        const int64_t from = std::max(j, band.first(i));
        const int64_t to = std::min(j + n, band.end(i + queries - 1));
        if (from >= to) continue;
        const TileAt at{from, to - from, i, queries};
        const int64_t panel = (i - begin) / W;
        probabilities(at, panel, from - j, scores, tiles);
        gradients(at, panel, from - j, head, dropout, sums);
      }
    }
    const Head<T> dq(a_.dq, sequence_.batch, sequence_.q_begin, head);
    C factors[W];
    std::fill(factors, factors + W, C(a_.options.scale));
    for (int64_t i = begin; i < end; i += W) {
      write_panel(dqueries_ + (i - begin) * d_, W, std::min(W, end - i), d_, factors, dq.row(i),
                  dq.stride);
    }
  }

 private:
  size_t bytes() const {
    const int64_t rows = kPanels * W;
    size_t total = 4 * Scratch::size_of_part<C>(kTileKeys * W) + 2 * Scratch::size_of_part<C>(rows);
    for (const int64_t width : {d_, ld_, d_, dv_, ldv_}) {
      total += Scratch::size_of_part<C>(rows * width);
    }
    for (const int64_t width : {ld_, ldv_}) {
      total += Scratch::size_of_part<C>(kTileKeys * width);
    }
    return total;
  }

  void read_queries(int64_t head, int64_t begin, int64_t end) {
    const Head<const T> q(a_.q, sequence_.batch, sequence_.q_begin, head);
    const Head<const T> out(a_.out, sequence_.batch, sequence_.q_begin, head);
    const Head<const T> grad(a_.grad, sequence_.batch, sequence_.q_begin, head);
    const C* lse = a_.lse.as<C>() + sequence_.batch * a_.lse.strides[0] + head * a_.lse.strides[1] +
                   sequence_.q_begin;
    const int64_t n = end - begin, rows = (n + W - 1) / W * W;
    copy_rows(q.row(begin), q.stride, n, rows, d_, queries_);
    copy_rows(grad.row(begin), grad.stride, n, rows, dv_, grads_);
    for (int64_t i = 0; i < n; i += W) {
      const int64_t count = std::min(W, n - i);
      copy_panel(q.row(begin + i), q.stride, count, d_, W, queries_t_ + i * d_,
                 Scores<C>::query_scale(a_.options));
      copy_panel(grad.row(begin + i), grad.stride, count, dv_, W, grads_t_ + i * dv_, C(1));
    }
    // A row without keys has lse -inf; 2^(score - inf) is the 0 it needs.
    std::fill(lse_, lse_ + rows, kInf);
    std::fill(delta_, delta_ + rows, C(0));
    for (int64_t i = 0; i < n; ++i) {
      const C value = lse[begin + i];
      if (value != -kInf) lse_[i] = value * C(kLog2E);
      const T* o = out.row(begin + i);
      V dot = C(0);
      for (int64_t c = 0; c < dv_; c += V::lanes) {
        dot += load(o + c, lanes_left<C>(dv_ - c)) * load(grads_ + i * ldv_ + c);
      }
      delta_[i] = sum(dot);
    }
    std::fill(dqueries_, dqueries_ + rows * d_, C(0));
  }

  // p_ = P^T
  void probabilities(const TileAt& at, int64_t panel, int64_t skip, const Scores<C>& scores,
                     const KeyTiles<T>& tiles) {
    tile_product<Into::overwrite>(at.keys, W, d_, Left<C>{keys_ + skip * ld_, ld_},
                                  queries_t_ + panel * W * d_, W, p_, W);
    scores.finish(at, p_, cap_slope_);
    tiles.template mask<W>(at.key, at.keys, p_);
    for (int64_t j = 0; j < at.keys; ++j) {
      for (int x = 0; x < W; x += V::lanes) {
        C* p = p_ + j * W + x;
        store(p, exp2_nonpositive(load(p) - load(lse_ + panel * W + x)));
      }
    }
  }

  // Everything that follows from p_.
  void gradients(const TileAt& at, int64_t panel, int64_t skip, int64_t head,
                 const Dropout<C>& dropout, const KeyGradients<C>& sums) {
    tile_product<Into::overwrite>(at.keys, W, dv_, Left<C>{values_ + skip * ldv_, ldv_},
                                  grads_t_ + panel * W * dv_, W, ds_, W);
    const bool drops = a_.options.dropout_p > 0;
    if (drops) dropout.tile(at.key, at.keys, at.query, at.queries, W, keep_);
    for (int64_t j = 0; j < at.keys; ++j) {
      for (int x = 0; x < W; x += V::lanes) {
        const int64_t e = j * W + x;
        const V p = load(p_ + e), delta = load(delta_ + panel * W + x);
        if (drops) {
          const V keep = load(keep_ + e);
          store(ds_ + e, p * (load(ds_ + e) * keep - delta));
          store(p_ + e, p * keep);
        } else {
          store(ds_ + e, p * (load(ds_ + e) - delta));
        }
      }
    }
    tile_product<Into::add>(at.keys, ldv_, at.queries, Left<C>{p_, W}, grads_ + panel * W * ldv_,
                            ldv_, sums.dv + at.key * ldv_, ldv_);
    if (a_.dbias) add_dbias(at, head);
    if (a_.options.softcap > 0) {
      for (int64_t e = 0; e < at.keys * W; e += V::lanes) {
        store(ds_ + e, load(ds_ + e) * load(cap_slope_ + e));
      }
    }
    tile_product<Into::add>(d_, W, at.keys, Left<C>{keys_ + skip * ld_, 1, ld_}, ds_, W,
                            dqueries_ + panel * W * d_, W);
    tile_product<Into::add>(at.keys, ld_, at.queries, Left<C>{ds_, W}, queries_ + panel * W * ld_,
                            ld_, sums.dk + at.key * ld_, ld_);
  }

  void add_dbias(const TileAt& at, int64_t head) {
    const Array& b = *a_.dbias;
    const int64_t si = b.strides[2], sj = b.strides[3];
    C* to = b.as<C>() + sequence_.index * b.strides[0] + head * b.strides[1] + at.query * si +
            at.key * sj;
    for (int64_t i = 0; i < at.queries; ++i, to += si) {
      for (int64_t j = 0; j < at.keys; ++j) to[j * sj] += ds_[j * W + i];
    }
  }

  const AttentionBackwardArgs& a_;
  const Sequence sequence_;
  const int64_t d_, dv_, ld_, ldv_;
  Scratch scratch_;
  C *queries_t_, *queries_, *dqueries_, *grads_t_, *grads_, *lse_, *delta_;
  C *p_, *ds_, *keep_, *cap_slope_, *keys_, *values_;
};

template <class T>
class Backward {
  using C = compute_t<T>;

 public:
  explicit Backward(const AttentionBackwardArgs& a)
      : a_(a),
        group_(a.q.shape[2] / a.k.shape[2]),
        ld_(padded<C>(a.q.shape[3])),
        ldv_(padded<C>(a.v.shape[3])) {}

  // Tasks of one wave run at once and never touch the same dbias: where the bias is broadcast over
  // sequences or heads, these take turns.
  void run() {
    const int64_t sequences = sequence_count(a_.options, a_.q), kv_heads = a_.k.shape[2];
    const bool sequences_in_turn = a_.dbias && a_.dbias->strides[0] == 0;
    const bool heads_in_turn = a_.dbias && a_.dbias->strides[1] == 0;
    const int64_t s_step = sequences_in_turn ? 1 : sequences;
    const int64_t h_step = heads_in_turn ? 1 : kv_heads;
    for (int64_t s = 0; s < sequences; s += s_step) {
      for (int64_t h = 0; h < kv_heads; h += h_step) wave(s, s_step, h, h_step);
    }
  }

 private:
  void wave(int64_t s_begin, int64_t s_count, int64_t h_begin, int64_t h_count) {
    struct Task {
      int64_t sequence, kv_head, split;
      double work;
    };
    const int64_t heads = s_count * h_count;
    const bool queries_share_dbias = a_.dbias && a_.dbias->strides[2] == 0;
    const int64_t splits = queries_share_dbias ? 1 : std::max<int64_t>(1, kTasks / heads);
    std::vector<Task> tasks;
    for (int64_t s = s_begin; s < s_begin + s_count; ++s) {
      const Sequence sequence_s = sequence(a_.options, a_.q, a_.k, s);
      const double work = double(sequence_s.queries) * double(sequence_s.keys);
      for (int64_t h = h_begin; h < h_begin + h_count; ++h) {
        for (int64_t split = 0; split < splits; ++split) tasks.push_back({s, h, split, work});
      }
    }
    std::stable_sort(tasks.begin(), tasks.end(),
                     [](const auto& x, const auto& y) { return x.work > y.work; });
    if (splits == 1) {
      parallel_tasks(static_cast<int64_t>(tasks.size()), [&](int64_t i) {
        const Sequence s = sequence(a_.options, a_.q, a_.k, tasks[i].sequence);
        Scratch sums(sums_bytes(s));
        head(s, tasks[i].kv_head, 0, 1, take_sums(sums, s));
      });
      return;
    }
    split_heads(s_begin, h_begin, h_count, heads, splits, tasks);
  }

  template <class Tasks>
  void split_heads(int64_t s_begin, int64_t h_begin, int64_t h_count, int64_t heads, int64_t splits,
                   const Tasks& tasks) {
    std::vector<std::unique_ptr<Scratch>> memory(heads * splits);
    std::vector<KeyGradients<C>> sums(heads * splits);
    const auto slot = [&](int64_t s, int64_t h) {
      return ((s - s_begin) * h_count + h - h_begin) * splits;
    };
    parallel_tasks(static_cast<int64_t>(tasks.size()), [&](int64_t i) {
      const auto& t = tasks[i];
      const Sequence s = sequence(a_.options, a_.q, a_.k, t.sequence);
      const int64_t at = slot(t.sequence, t.kv_head) + t.split;
      memory[at] = std::make_unique<Scratch>(sums_bytes(s));
      sums[at] = take_sums(*memory[at], s);
      head(s, t.kv_head, t.split, splits, sums[at]);
    });
    parallel_tasks(heads, [&](int64_t i) {
      const Sequence s = sequence(a_.options, a_.q, a_.k, s_begin + i / h_count);
      const KeyGradients<C> total = sums[i * splits];
      for (int64_t split = 1; split < splits; ++split) {
        add(sums[i * splits + split].dk, s.keys * ld_, total.dk);
        add(sums[i * splits + split].dv, s.keys * ldv_, total.dv);
      }
      write(s, h_begin + i % h_count, total);
    });
  }

  size_t sums_bytes(const Sequence& s) const {
    return Scratch::size_of_part<C>(s.keys * ld_) + Scratch::size_of_part<C>(s.keys * ldv_);
  }
  KeyGradients<C> take_sums(Scratch& memory, const Sequence& s) const {
    const KeyGradients<C> sums{memory.take<C>(s.keys * ld_), memory.take<C>(s.keys * ldv_)};
    std::fill(sums.dk, sums.dk + s.keys * ld_, C(0));
    std::fill(sums.dv, sums.dv + s.keys * ldv_, C(0));
    return sums;
  }

  // The share `split` of a head's work: every splits-th unit, so that causal shares are about even.
  // A unit is a block of queries of one query head, or of all heads of the group where these may
  // share a dbias.
  void head(const Sequence& s, int64_t kv_head, int64_t split, int64_t splits,
            const KeyGradients<C>& sums) {
    BackwardBlock<T> block(a_, s);
    const int64_t blocks = (s.queries + kBlockQueries - 1) / kBlockQueries;
    const int64_t heads_a_unit = a_.dbias ? group_ : 1;
    const int64_t units = blocks * (group_ / std::max<int64_t>(1, heads_a_unit));
    for (int64_t unit = split; unit < units; unit += splits) {
      const int64_t begin = unit % blocks * kBlockQueries;
      const int64_t end = std::min(begin + kBlockQueries, s.queries);
      const int64_t first = kv_head * group_ + unit / blocks * heads_a_unit;
      for (int64_t h = first; h < first + heads_a_unit; ++h) block.run(h, begin, end, sums);
    }
    if (splits == 1) write(s, kv_head, sums);
  }

  void write(const Sequence& s, int64_t kv_head, const KeyGradients<C>& sums) {
    const Head<T> dk(a_.dk, s.batch, s.k_begin, kv_head), dv(a_.dv, s.batch, s.k_begin, kv_head);
    write_rows(sums.dk, ld_, s.keys, a_.k.shape[3], C(a_.options.scale), dk.data, dk.stride);
    write_rows(sums.dv, ldv_, s.keys, a_.v.shape[3], C(1), dv.data, dv.stride);
  }

  static void add(const C* from, int64_t n, C* to) {
    for (int64_t i = 0; i < n; i += Vec<C>::lanes) store(to + i, load(to + i) + load(from + i));
  }

  const AttentionBackwardArgs& a_;
  const int64_t group_, ld_, ldv_;
};

// The contiguous array as 4-d, its axes of length 1 with stride 0.
Array broadcast_to_4d(const Array& a) {
  Array view = a;
  view.ndim = 4;
  for (int i = 3, own = a.ndim - 1; i >= 0; --i, --own) {
    view.shape[i] = own >= 0 ? a.shape[own] : 1;
    view.strides[i] = view.shape[i] == 1 ? 0 : a.strides[own];
  }
  return view;
}

}  // namespace

void attention_backward(const AttentionBackwardArgs& a) {
  with_float_type(a.q.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (!a.dbias) return Backward<T>(a).run();
    Array sums = *a.dbias;
    const int64_t count = sums.size();
    Scratch memory(Scratch::size_of_part<compute_t<T>>(count));
    sums.data = memory.take<compute_t<T>>(count);
    std::fill(sums.as<compute_t<T>>(), sums.as<compute_t<T>>() + count, compute_t<T>(0));
    const Array broadcast = broadcast_to_4d(sums);
    AttentionBackwardArgs with_sums = a;
    with_sums.dbias = &broadcast;
    Backward<T>(with_sums).run();
    with_float_type(a.dbias->dtype, [&](auto bias_tag) {
      using B = typename decltype(bias_tag)::type;
      for (int64_t i = 0; i < count; ++i) {
        a.dbias->as<B>()[i] = narrow<B>(compute_t<B>(sums.as<compute_t<T>>()[i]));
      }
    });
  });
}

}  // namespace pyllm::PYLLM_ISA
