#include "cpu/blas.h"

#include <algorithm>
#include <stdexcept>

#include "core/parallel.h"

// From scipy-openblas32; every symbol carries the prefix scipy_.
extern "C" {
void scipy_cblas_sgemm(int order, int transa, int transb, int m, int n, int k, float alpha,
                       const float* a, int lda, const float* b, int ldb, float beta, float* c,
                       int ldc);
void scipy_cblas_dgemm(int order, int transa, int transb, int m, int n, int k, double alpha,
                       const double* a, int lda, const double* b, int ldb, double beta, double* c,
                       int ldc);
void scipy_openblas_set_num_threads(int n);
char* scipy_openblas_get_config();
}

namespace pyllm {
namespace {

constexpr int kRowMajor = 101, kNoTrans = 111, kTrans = 112;
constexpr int64_t kMaxInt = 2147483647;

void call(int ta, int tb, const Gemm<float>& g) {
  scipy_cblas_sgemm(kRowMajor, ta, tb, int(g.m), int(g.n), int(g.k), g.alpha, g.a, int(g.lda), g.b,
                    int(g.ldb), g.beta, g.c, int(g.ldc));
}
void call(int ta, int tb, const Gemm<double>& g) {
  scipy_cblas_dgemm(kRowMajor, ta, tb, int(g.m), int(g.n), int(g.k), g.alpha, g.a, int(g.lda), g.b,
                    int(g.ldb), g.beta, g.c, int(g.ldc));
}

// OpenBLAS packs a panel of a as tall as the call lets it: tens of megabytes a thread for the
// gradient of a vocabulary. In slabs of this many rows it stays in the caches, at the same speed.
constexpr int64_t kSlabRows = 2048;

template <class T>
void serial(const Gemm<T>& g) {
  if (g.m == 0 || g.n == 0) return;
  if (std::max({g.m, g.n, g.k, g.lda, g.ldb, g.ldc}) > kMaxInt) {
    throw std::length_error("matrix product: a dimension exceeds 2^31 - 1");
  }
  Gemm<T> slab = g;
  for (int64_t row = 0; row < g.m; row += kSlabRows) {
    slab.m = std::min(kSlabRows, g.m - row);
    slab.a = g.a + row * (g.transpose_a ? 1 : g.lda);
    slab.c = g.c + row * g.ldc;
    call(g.transpose_a ? kTrans : kNoTrans, g.transpose_b ? kTrans : kNoTrans, slab);
  }
}

// Slabs of rows or of columns of c, whichever is longer, in multiples of 16 so that no slab ends
// inside a register tile.
template <class T>
void parallel(const Gemm<T>& g) {
  constexpr int64_t kTile = 16;
  const double flops = 2.0 * double(g.m) * double(g.n) * double(g.k);
  const bool by_rows = g.m >= g.n;
  const int64_t length = by_rows ? g.m : g.n;
  const int64_t tiles = (length + kTile - 1) / kTile;
  const int64_t slabs = flops < 2e5 ? 1 : std::min<int64_t>(num_threads(), tiles);
  if (slabs <= 1) return serial(g);
  parallel_tasks(slabs, [&](int64_t i) {
    const int64_t begin = std::min(length, tiles * i / slabs * kTile);
    const int64_t end = std::min(length, tiles * (i + 1) / slabs * kTile);
    Gemm<T> part = g;
    if (by_rows) {
      part.m = end - begin;
      part.a += begin * (g.transpose_a ? 1 : g.lda);
      part.c += begin * g.ldc;
    } else {
      part.n = end - begin;
      part.b += begin * (g.transpose_b ? g.ldb : 1);
      part.c += begin;
    }
    serial(part);
  });
}

}  // namespace

void gemm(const Gemm<float>& g) {
  parallel(g);
}
void gemm(const Gemm<double>& g) {
  parallel(g);
}
void gemm_serial(const Gemm<float>& g) {
  serial(g);
}
void gemm_serial(const Gemm<double>& g) {
  serial(g);
}

void set_blas_single_threaded() {
  scipy_openblas_set_num_threads(1);
}
std::string blas_config() {
  return scipy_openblas_get_config();
}

}  // namespace pyllm
