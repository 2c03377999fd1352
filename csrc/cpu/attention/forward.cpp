// Attention forward: out_i = sum_j p_ij v_j, p_i = softmax over the keys that query i sees.
//
// Online softmax (Dao et al., "FlashAttention", 2022) over tiles of kTileKeys keys, computed
// transposed: a vector's lanes are queries. With the queries of a panel transposed once (Q^T, [d]
// [panel]), a tile costs
//   S^T = K Q^T       broadcasts elements of K, vectors of Q^T
//   m', p, l          per lane: running maximum, exponentials and their sum, no horizontal step
//   O^T = O^T f + V^T P^T      f = 2^(m - m')
// K and V are copied out of the caller's strided rows, a tile at a time, and read in place.
//
// A task is a block of queries of one head: it walks over the key tiles once, and over its panels
// within a tile, so a copied tile serves the whole block. Heavy blocks go first. Extra memory is
// that of the blocks in flight; the log-sum-exp, one number a row, is saved for backward.
#include "core/parallel.h"
#include "cpu/attention.h"
#include "cpu/attention/keys.h"
#include "cpu/attention/scores.h"

namespace pyllm::PYLLM_ISA {
namespace {

// Queries a block: many, since each block copies all keys it sees, but no more than fit in the
// second-level cache with their sums, and not so many that few blocks are left to share out.
int64_t block_queries(const AttentionArgs& a) {
  int64_t rows = 512;
  while (rows > 64 && (rows * (a.q.shape[3] + a.v.shape[3]) > 65536 ||
                       a.q.shape[0] * a.q.shape[1] * a.q.shape[2] < 32 * rows)) {
    rows /= 2;
  }
  return rows;
}

template <class T>
class ForwardBlock {
  using C = compute_t<T>;
  using V = Vec<C>;
  static constexpr int64_t W = kPanel;
  static constexpr C kInf = std::numeric_limits<C>::infinity();

 public:
  ForwardBlock(const AttentionArgs& a, const QueryBlock& block)
      : a_(a),
        block_(block),
        sequence_(sequence(a.options, a.q, a.k, block.sequence)),
        scores_(a.options, sequence_, block.head),
        dropout_(a.options, a.q, a.k, sequence_, block.head),
        panels_((block.end - block.begin + W - 1) / W),
        d_(a.q.shape[3]),
        dv_(a.v.shape[3]),
        ld_(padded<C>(d_)),
        ldv_(padded<C>(dv_)),
        scratch_(bytes()),
        queries_(scratch_.take<C>(panels_ * W * d_)),
        sums_(scratch_.take<C>(panels_ * W * dv_)),
        top_(scratch_.take<C>(panels_ * W)),
        total_(scratch_.take<C>(panels_ * W)),
        factors_(scratch_.take<C>(W)),
        tile_(scratch_.take<C>(kTileKeys * W)),
        keep_(scratch_.take<C>(a.options.dropout_p > 0 ? kTileKeys * W : 0)),
        keys_(scratch_.take<C>(kTileKeys * ld_)),
        values_(scratch_.take<C>(kTileKeys * ldv_)) {}

  void run() {
    read_queries();
    const Band& band = scores_.band();
    const KeyTiles<T> tiles(a_.options, a_.k, a_.v, sequence_, block_.head / group());
    const int64_t end = band.end(block_.end - 1);
    for (int64_t j = band.first(block_.begin); j < end; j += kTileKeys) {
      const int64_t n = std::min(kTileKeys, end - j);
      if (!tiles.any(j, n)) continue;
      tiles.copy_keys(j, n, keys_);
      tiles.copy_values(j, n, values_);
      tiles.prefetch(j + n, std::min(kTileKeys, end - j - n));
      for (int64_t p = 0; p < panels_; ++p) visit(p, j, n, tiles);
    }
    write();
  }

 private:
  int64_t group() const { return a_.q.shape[2] / a_.k.shape[2]; }
  int64_t first_query(int64_t panel) const { return block_.begin + panel * W; }
  int64_t query_count(int64_t panel) const { return std::min(W, block_.end - first_query(panel)); }

  size_t bytes() const {
    const int64_t rows = panels_ * W;
    return Scratch::size_of_part<C>(rows * d_) + Scratch::size_of_part<C>(rows * dv_) +
           2 * Scratch::size_of_part<C>(rows) + Scratch::size_of_part<C>(W) +
           2 * Scratch::size_of_part<C>(kTileKeys * W) + Scratch::size_of_part<C>(kTileKeys * ld_) +
           Scratch::size_of_part<C>(kTileKeys * ldv_);
  }

  void read_queries() {
    const Head<T> q(a_.q, sequence_.batch, sequence_.q_begin, block_.head);
    for (int64_t p = 0; p < panels_; ++p) {
      copy_panel(q.row(first_query(p)), q.stride, query_count(p), d_, W, queries_ + p * W * d_,
                 Scores<C>::query_scale(a_.options));
    }
    std::fill(sums_, sums_ + panels_ * W * dv_, C(0));
    std::fill(top_, top_ + panels_ * W, -kInf);
    std::fill(total_, total_ + panels_ * W, C(0));
  }

  // Takes keys [j, j + n) into panel p.
  void visit(int64_t p, int64_t j, int64_t n, const KeyTiles<T>& tiles) {
    const Band& band = scores_.band();
    const int64_t query = first_query(p), queries = query_count(p);
    const int64_t begin = std::max(j, band.first(query));
    const int64_t end = std::min(j + n, band.end(query + queries - 1));
    if (begin >= end) return;
    const TileAt at{begin, end - begin, query, queries};
    tile_product<Into::overwrite>(at.keys, W, d_, Left<C>{keys_ + (begin - j) * ld_, ld_},
                                  queries_ + p * W * d_, W, tile_, W);
    scores_.finish(at, tile_, nullptr);
    tiles.template mask<W>(begin, at.keys, tile_);
    softmax(at.keys, top_ + p * W, total_ + p * W);
    if (a_.options.dropout_p > 0) {
      dropout_.tile(begin, at.keys, query, queries, W, keep_);
      for (int64_t x = 0; x < at.keys * W; x += V::lanes) {
        store(tile_ + x, load(tile_ + x) * load(keep_ + x));
      }
    }
    tile_product<Into::rescale>(dv_, W, at.keys, Left<C>{values_ + (begin - j) * ldv_, 1, ldv_},
                                tile_, W, sums_ + p * W * dv_, W, factors_);
  }

  // Scores to probabilities in the tile; running maximum and sum move on, factors_ says by how
  // much what was summed before must shrink. A row without any key so far keeps maximum -inf.
  void softmax(int64_t keys, C* top, C* total) {
    constexpr int N = kBlockVectors, L = V::lanes;
    for (int x = 0; x < W; x += N * L) {
      V now[N], base[N], sum[N];
      for (int v = 0; v < N; ++v) now[v] = load(top + x + v * L);
      for (int64_t j = 0; j < keys; ++j) {
        for (int v = 0; v < N; ++v) now[v] = max(load(tile_ + j * W + x + v * L), now[v]);
      }
      for (int v = 0; v < N; ++v) {
        base[v] = select<C>(now[v] == V(-kInf), V(C(0)), now[v]);
        const V factor = exp2_nonpositive(load(top + x + v * L) - base[v]);
        sum[v] = load(total + x + v * L) * factor;
        store(factors_ + x + v * L, factor);
        store(top + x + v * L, now[v]);
      }
      for (int64_t j = 0; j < keys; ++j) {
        for (int v = 0; v < N; ++v) {
          C* at = tile_ + j * W + x + v * L;
          const V p = exp2_nonpositive(load(at) - base[v]);
          sum[v] += p;
          store(at, p);
        }
      }
      for (int v = 0; v < N; ++v) store(total + x + v * L, sum[v]);
    }
  }

  void write() {
    const Head<T> out(a_.out, sequence_.batch, sequence_.q_begin, block_.head);
    C* lse = a_.lse.as<C>() + sequence_.batch * a_.lse.strides[0] +
             block_.head * a_.lse.strides[1] + sequence_.q_begin;
    for (int64_t p = 0; p < panels_; ++p) {
      const int64_t query = first_query(p), queries = query_count(p);
      for (int64_t i = 0; i < queries; ++i) {
        const C total = total_[p * W + i];
        factors_[i] = total == C(0) ? C(0) : C(1) / total;
        lse[query + i] = top_[p * W + i] * C(kLn2) + std::log(total);
      }
      write_panel(sums_ + p * W * dv_, W, queries, dv_, factors_, out.row(query), out.stride);
    }
  }

  const AttentionArgs& a_;
  const QueryBlock& block_;
  const Sequence sequence_;
  const Scores<C> scores_;
  const Dropout<C> dropout_;
  const int64_t panels_, d_, dv_, ld_, ldv_;
  Scratch scratch_;
  C *queries_, *sums_, *top_, *total_, *factors_, *tile_, *keep_, *keys_, *values_;
};

}  // namespace

void attention_forward(const AttentionArgs& a) {
  const auto blocks = query_blocks(a.options, a.q, a.k, block_queries(a));
  with_float_type(a.q.dtype, [&](auto tag) {
    parallel_tasks(static_cast<int64_t>(blocks.size()), [&](int64_t i) {
      ForwardBlock<typename decltype(tag)::type>(a, blocks[i]).run();
    });
  });
}

}  // namespace pyllm::PYLLM_ISA
