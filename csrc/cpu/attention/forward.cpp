// Attention forward: out_i = sum_j p_ij v_j, p_i = softmax over the keys that query i sees.
//
// Online softmax (Dao et al., "FlashAttention", 2022) over tiles of kTileKeys keys, computed
// transposed: a vector's lanes are queries. With the queries of a panel transposed once (Q^T, [d]
// [panel]), a tile costs
//   S^T = K Q^T       broadcasts elements of K, vectors of Q^T
//   m', p, l          per lane: running maximum, exponentials and their sum, no horizontal step
//   O^T = O^T f + V^T P^T      f = exp2(m - m')
// and nothing is packed but K, transposed so that a register block broadcasts from one line.
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

constexpr int64_t kBlockQueries = 256;

template <class T>
class ForwardBlock {
  using C = compute_t<T>;
  using V = Vec<C>;
  static constexpr int64_t W = kPanel<C>;
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
        scratch_(bytes()),
        queries_(scratch_.take<C>(panels_ * W * d_)),
        sums_(scratch_.take<C>(panels_ * W * dv_)),
        top_(scratch_.take<C>(panels_ * W)),
        total_(scratch_.take<C>(panels_ * W)),
        factors_(scratch_.take<C>(W)),
        tile_(scratch_.take<C>(kTileKeys * W)),
        keep_(scratch_.take<C>(a.options.dropout_p > 0 ? kTileKeys * W : 0)),
        keys_t_(scratch_.take<C>(kTileKeys * d_)),
        values_(scratch_.take<C>(kTileKeys * padded<C>(dv_))) {}

  void run() {
    read_queries();
    const Band& band = scores_.band();
    const KeyTiles<T> tiles(a_.options, a_.k, a_.v, sequence_, block_.head / group());
    const int64_t end = band.end(block_.end - 1);
    for (int64_t j = band.first(block_.begin); j < end; j += kTileKeys) {
      const int64_t n = std::min(kTileKeys, end - j);
      if (!tiles.any(j, n)) continue;
      tiles.copy_keys_transposed(j, n, keys_t_);
      tiles.copy_values(j, n, values_);
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
           2 * Scratch::size_of_part<C>(kTileKeys * W) + Scratch::size_of_part<C>(kTileKeys * d_) +
           Scratch::size_of_part<C>(kTileKeys * padded<C>(dv_));
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
    tile_product<Into::overwrite, 1>(TileProduct<C>{.m = at.keys,
                                                    .n = W,
                                                    .k = d_,
                                                    .a = keys_t_ + (begin - j),
                                                    .a_step = kTileKeys,
                                                    .b = queries_ + p * W * d_,
                                                    .ldb = W,
                                                    .c = tile_,
                                                    .ldc = W});
    scores_.finish(at, tile_, nullptr);
    tiles.template mask<W>(begin, at.keys, tile_);
    softmax(at.keys, top_ + p * W, total_ + p * W);
    if (a_.options.dropout_p > 0) {
      dropout_.tile(begin, at.keys, query, queries, W, keep_);
      for (int64_t x = 0; x < at.keys * W; x += V::lanes) {
        store(tile_ + x, load(tile_ + x) * load(keep_ + x));
      }
    }
    tile_product<Into::rescale, 1>(TileProduct<C>{.m = dv_,
                                                  .n = W,
                                                  .k = at.keys,
                                                  .a = values_ + (begin - j) * padded<C>(dv_),
                                                  .a_step = padded<C>(dv_),
                                                  .b = tile_,
                                                  .ldb = W,
                                                  .c = sums_ + p * W * dv_,
                                                  .ldc = W,
                                                  .factors = factors_});
  }

  // Scores to probabilities in the tile; running maximum and sum move on, factors_ says by how
  // much what was summed before must shrink. A row without any key so far keeps maximum -inf.
  void softmax(int64_t keys, C* top, C* total) {
    for (int x = 0; x < W; x += V::lanes) {
      const V before = load(top + x);
      V now = before;
      for (int64_t j = 0; j < keys; ++j) now = max(load(tile_ + j * W + x), now);
      const V base = select<C>(now == V(-kInf), V(C(0)), now);
      const V factor = exp2(before - base);
      V sum = load(total + x) * factor;
      for (int64_t j = 0; j < keys; ++j) {
        const V p = exp2(load(tile_ + j * W + x) - base);
        sum += p;
        store(tile_ + j * W + x, p);
      }
      store(top + x, now);
      store(total + x, sum);
      store(factors_ + x, factor);
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
  const int64_t panels_, d_, dv_;
  Scratch scratch_;
  C *queries_, *sums_, *top_, *total_, *factors_, *tile_, *keep_, *keys_t_, *values_;
};

}  // namespace

void attention_forward(const AttentionArgs& a) {
  const auto blocks = query_blocks(a.options, a.q, a.k, kBlockQueries);
  with_float_type(a.q.dtype, [&](auto tag) {
    parallel_tasks(static_cast<int64_t>(blocks.size()), [&](int64_t i) {
      ForwardBlock<typename decltype(tag)::type>(a, blocks[i]).run();
    });
  });
}

}  // namespace pyllm::PYLLM_ISA
