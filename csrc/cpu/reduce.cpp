// y = sum, max or min of x (rows, columns) along or down; x is read once.
//
// Along: a row is cut into blocks of kBlock elements. Blocks are reduced in vector lanes, each by
// whichever thread, and sums of blocks are added in order in float64, so that neither threads nor
// the length of a row change or spoil a sum. Down: column_sums and its like, chunk by chunk.
// Extrema are NaN if an element is.
#include "cpu/reduce.h"

#include "cpu/elementwise.h"
#include "cpu/sums.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kBlock = 8192;

template <ReduceOp op, class C>
Vec<C> join(Vec<C> x, Vec<C> so_far) {
  if constexpr (op == ReduceOp::sum) return so_far + x;
  const auto wins = op == ReduceOp::max ? x > so_far : x < so_far;
  return select<C>(wins | (x != x), x, so_far);
}

template <ReduceOp op, class C>
C join(C x, C so_far) {
  if constexpr (op == ReduceOp::sum) return so_far + x;
  return (op == ReduceOp::max ? x > so_far : x < so_far) || x != x ? x : so_far;
}

// What leaves every element as it is.
template <ReduceOp op, class C>
constexpr C kNeutral = op == ReduceOp::sum   ? C(0)
                       : op == ReduceOp::max ? -std::numeric_limits<C>::infinity()
                                             : std::numeric_limits<C>::infinity();

template <ReduceOp op, class T, class C = compute_t<T>>
C reduce_block(const T* x, int64_t n) {
  constexpr int64_t L = Vec<C>::lanes, kChains = 4;
  Vec<C> chain[kChains];
  for (auto& c : chain) c = kNeutral<op, C>;
  int64_t i = 0;
  for (; i + kChains * L <= n; i += kChains * L) {
    for (int64_t c = 0; c < kChains; ++c) chain[c] = join<op, C>(load(x + i + c * L), chain[c]);
  }
  for (; i < n; i += L) {
    chain[0] = join<op, C>(load(x + i, lanes_left<C>(n - i), kNeutral<op, C>), chain[0]);
  }
  const Vec<C> all = join<op, C>(join<op, C>(chain[3], chain[2]), join<op, C>(chain[1], chain[0]));
  return reduce(all, [](C a, C b) { return join<op, C>(b, a); });
}

template <ReduceOp op, class T>
void along(const ReduceArgs& a) {
  using C = compute_t<T>;
  using Y = std::conditional_t<op == ReduceOp::sum, C, T>;
  const int64_t rows = a.x.shape[0], n = a.x.shape[1];
  const int64_t blocks = std::max<int64_t>((n + kBlock - 1) / kBlock, 1);
  const Scratch<C> partial(static_cast<size_t>(rows * blocks));
  const int64_t grain = std::max<int64_t>(kElementwiseGrain / std::max<int64_t>(n / blocks, 1), 1);
  parallel_for(rows * blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = i % blocks * kBlock;
      partial.data()[i] =
          reduce_block<op>(a.x.as<T>() + i / blocks * n + from, std::min(kBlock, n - from));
    }
  });
  for (int64_t r = 0; r < rows; ++r) {
    const C* block = partial.data() + r * blocks;
    double total = block[0];
    for (int64_t i = 1; i < blocks; ++i) total = join<op, double>(block[i], total);
    a.y.as<Y>()[r] = narrow<Y>(C(total));
  }
}

template <ReduceOp op, class T, class C = compute_t<T>>
void join_row(const T* x, C* so_far, int64_t width) {
  for_vectors<C>(width, [&](int64_t i, int count) {
    store(so_far + i, join<op, C>(load(x + i, count), load(so_far + i, count)), count);
  });
}

template <ReduceOp op, class T>
void down(const ReduceArgs& a) {
  using C = compute_t<T>;
  const int64_t rows = a.x.shape[0], width = a.x.shape[1];
  const T* x = a.x.as<T>();
  if constexpr (op == ReduceOp::sum) {
    column_sums(rows, width, a.y.as<C>(), [&](int64_t begin, int64_t end, C* partial) {
      for (int64_t r = begin; r < end; ++r) join_row<op>(x + r * width, partial, width);
    });
  } else {
    // Each thread takes columns: an extremum needs no fixed order, and the result no partials.
    const int64_t groups = (width + 63) / 64;
    parallel_for(groups, std::max<int64_t>(kElementwiseGrain / (64 * rows), 1),
                 [&](int64_t first, int64_t last) {
                   const int64_t begin = first * 64, n = std::min(last * 64, width) - begin;
                   const Scratch<C> best(static_cast<size_t>(n));
                   std::fill_n(best.data(), n, kNeutral<op, C>);
                   for (int64_t r = 0; r < rows; ++r) {
                     join_row<op>(x + r * width + begin, best.data(), n);
                   }
                   for (int64_t i = 0; i < n; ++i) {
                     a.y.as<T>()[begin + i] = narrow<T>(best.data()[i]);
                   }
                 });
  }
}

template <ReduceOp op>
void with_storage_type(const ReduceArgs& a) {
  with_float_type(a.x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    a.down ? down<op, T>(a) : along<op, T>(a);
  });
}

}  // namespace

void reduce_matrix(const ReduceArgs& a) {
  switch (a.op) {
    case ReduceOp::sum:
      return with_storage_type<ReduceOp::sum>(a);
    case ReduceOp::max:
      return with_storage_type<ReduceOp::max>(a);
    case ReduceOp::min:
      return with_storage_type<ReduceOp::min>(a);
  }
}

}  // namespace pyllm::PYLLM_ISA
