// Matrix products. One pool for everything: OpenBLAS is told to use a single thread and the
// product is cut into slabs that run as tasks of our own pool.
#pragma once

#include <cstdint>
#include <string>

namespace pyllm {

// c = alpha * op(a) op(b) + beta * c, row-major; op transposes where asked. m x k times k x n.
// lda, ldb, ldc: elements from one stored row to the next.
template <class T>  // float or double
struct Gemm {
  bool transpose_a = false, transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  T alpha = 1;
  const T* a = nullptr;
  int64_t lda = 0;
  const T* b = nullptr;
  int64_t ldb = 0;
  T beta = 0;
  T* c = nullptr;
  int64_t ldc = 0;
};

void gemm(const Gemm<float>& g);  // on all threads of the pool
void gemm(const Gemm<double>& g);
void gemm_serial(const Gemm<float>& g);  // on the calling thread, for use inside tasks
void gemm_serial(const Gemm<double>& g);

void set_blas_single_threaded();
std::string blas_config();

}  // namespace pyllm
