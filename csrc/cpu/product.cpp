// Operands that the BLAS can read in place (compute dtype, one stride of 1) go to it as they are.
// The others are widened or straightened panel by panel into scratch: c is cut into tiles, one task
// each, and a task walks k in blocks, so that panels stay small whatever the size of the product.
#include "cpu/product.h"

#include <algorithm>

#include "core/scratch.h"
#include "cpu/blas.h"
#include "cpu/gemm/skinny.h"
#include "cpu/gemm/tile.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kTileRows = 512, kTileColumns = 512, kPanelDepth = 1024;

template <class C>
constexpr DType kDType = sizeof(C) == 8 ? DType::f64 : DType::f32;

// How the BLAS reads or writes a matrix in place.
struct Layout {
  bool direct = false, transposed = false;
  int64_t stride = 1;
};

template <class C>
Layout layout_of(const Matrix& x) {
  if (x.dtype != kDType<C>) return {};
  const int64_t row = x.rows == 1 ? std::max(x.columns, x.row_stride) : x.row_stride;
  const int64_t column = x.columns == 1 ? 1 : x.column_stride;
  if (column == 1 && row >= x.columns) return {true, false, std::max<int64_t>(row, 1)};
  const int64_t across = x.columns == 1 ? std::max(x.rows, x.column_stride) : x.column_stride;
  if ((x.rows == 1 || x.row_stride == 1) && across >= x.rows) return {true, true, across};
  return {};
}

// A panel of an operand as the BLAS wants it: in place, or packed into `scratch`. A transposed
// source is packed as it lies in memory.
template <class C>
struct Panel {
  const C* data;
  int64_t stride;
  bool transposed;

  Panel(const Matrix& x, C* scratch) {
    if (const Layout l = layout_of<C>(x); l.direct) {
      data = static_cast<const C*>(x.data);
      stride = l.stride;
      transposed = l.transposed;
      return;
    }
    transposed = x.row_stride == 1 && x.column_stride != 1;
    const Matrix stored = transposed ? x.transposed() : x;
    load_tile(stored, scratch);
    data = scratch;
    stride = std::max<int64_t>(stored.columns, 1);
  }
};

template <class C>
class Run {
 public:
  explicit Run(const Product& p)
      : p_(p), a_(layout_of<C>(p.a)), b_(layout_of<C>(p.b)), c_(layout_of<C>(p.c)) {
    c_.direct = c_.direct && !c_.transposed;
    // Every thread gets a share of the longer side. Smaller tiles only where panels must be packed:
    // in place the BLAS loses more by them than an epilogue gains.
    const bool by_rows = p.c.rows >= p.c.columns;
    tile_rows_ = by_rows ? share(p.c.rows) : p.c.rows;
    tile_columns_ = by_rows ? p.c.columns : share(p.c.columns);
    if (!direct()) {
      tile_rows_ = std::min(kTileRows, tile_rows_);
      tile_columns_ = std::min(kTileColumns, tile_columns_);
    }
    depth_ = a_.direct && b_.direct ? p.a.columns : std::min(kPanelDepth, p.a.columns);
  }

  void parallel() const {
    const int64_t down = (p_.c.rows + tile_rows_ - 1) / tile_rows_;
    const int64_t across = (p_.c.columns + tile_columns_ - 1) / tile_columns_;
    const double flops = 2.0 * double(p_.c.rows) * double(p_.c.columns) * double(p_.a.columns);
    const auto task = [&](int64_t i) { tile(i % down * tile_rows_, i / down * tile_columns_); };
    if (flops < 2e5) {
      for (int64_t i = 0; i < down * across; ++i) task(i);
    } else {
      parallel_tasks(down * across, task);
    }
  }

  bool direct() const { return a_.direct && b_.direct && c_.direct; }

  Gemm<C> whole() const {
    Gemm<C> g;
    g.transpose_a = a_.transposed;
    g.transpose_b = b_.transposed;
    g.m = p_.c.rows, g.n = p_.c.columns, g.k = p_.a.columns;
    g.alpha = static_cast<C>(p_.alpha), g.beta = p_.accumulate ? C(1) : C(0);
    g.a = static_cast<const C*>(p_.a.data), g.lda = a_.stride;
    g.b = static_cast<const C*>(p_.b.data), g.ldb = b_.stride;
    g.c = static_cast<C*>(p_.c.data), g.ldc = c_.stride;
    return g;
  }

 private:
  static int64_t share(int64_t length) {
    return ((length + num_threads() - 1) / num_threads() + 15) / 16 * 16;
  }

  void tile(int64_t row, int64_t column) const {
    const int64_t rows = std::min(tile_rows_, p_.c.rows - row);
    const int64_t columns = std::min(tile_columns_, p_.c.columns - column);
    const Scratch<C> a_panel(a_.direct ? 0 : rows * depth_),
        b_panel(b_.direct ? 0 : depth_ * columns), c_tile(c_.direct ? 0 : rows * columns);
    const Matrix target = p_.c.block(row, column, rows, columns);
    Gemm<C> g;
    g.m = rows, g.n = columns;
    g.alpha = static_cast<C>(p_.alpha);
    g.c = c_.direct ? static_cast<C*>(target.data) : c_tile.data();
    g.ldc = c_.direct ? c_.stride : columns;
    g.beta = c_.direct && p_.accumulate ? C(1) : C(0);
    int64_t done = 0;
    do {
      g.k = std::min(depth_, p_.a.columns - done);
      const Panel<C> a(p_.a.block(row, done, rows, g.k), a_panel.data());
      const Panel<C> b(p_.b.block(done, column, g.k, columns), b_panel.data());
      g.a = a.data, g.lda = a.stride, g.transpose_a = a.transposed;
      g.b = b.data, g.ldb = b.stride, g.transpose_b = b.transposed;
      gemm_serial(g);
      g.beta = C(1);
      done += g.k;
    } while (done < p_.a.columns);
    if (p_.epilogue) (*p_.epilogue)({row, column, rows, columns, g.c, g.ldc});
    if (!c_.direct) store_tile(c_tile.data(), columns, target, p_.accumulate);
  }

  const Product& p_;
  Layout a_, b_, c_;
  int64_t tile_rows_, tile_columns_, depth_;
};

}  // namespace

void product(const Product& p) {
  if (p.c.rows == 0 || p.c.columns == 0) return;
  if (is_skinny(p)) return skinny_product(p);
  if (!p.epilogue) {
    Product turned = p;  // c^T = b^T a^T
    turned.a = p.b.transposed(), turned.b = p.a.transposed(), turned.c = p.c.transposed();
    if (is_skinny(turned)) return skinny_product(turned);
  }
  const auto go = [&](auto run) {
    if (run.direct() && !p.epilogue) return gemm(run.whole());
    run.parallel();
  };
  p.a.dtype == DType::f64 ? go(Run<double>(p)) : go(Run<float>(p));
}

}  // namespace pyllm::PYLLM_ISA
