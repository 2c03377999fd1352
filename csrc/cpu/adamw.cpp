// AdamW (Loshchilov and Hutter 2019) over flat buffers in one pass.
//
//   g  = scale * grad                     (Adam: + weight_decay * p)
//   m  = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2
//   p  = p (1 - lr weight_decay) - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
//
// float32 moves 28 bytes an element: p, m, v read and written, grad read. The elements are
// independent, so threads may cut the buffers anywhere. Clipping needs the norm of all gradients
// first: sum_of_squares reads them once more (4 bytes).
#include "cpu/adamw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/parallel.h"
#include "cpu/simd.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 16384;
constexpr int64_t kBlock = 65536;  // elements a partial sum

// P: storage of the parameter, G of the gradient.
template <class P, class G>
void step(const AdamWArgs& a) {
  using V = Vec<float>;
  const V beta1 = float(a.beta1), beta2 = float(a.beta2), rest1 = float(1 - a.beta1),
          rest2 = float(1 - a.beta2), eps = float(a.eps), scale = float(a.grad_scale);
  const V root = float(1 / std::sqrt(1 - std::pow(a.beta2, double(a.step))));
  const V rate = float(a.lr / (1 - std::pow(a.beta1, double(a.step))));
  const V keep = float(a.decoupled ? 1 - a.lr * a.weight_decay : 1);
  const V pull = float(a.decoupled ? 0 : a.weight_decay);
  P* params = a.param.as<P>();
  float* master = a.master ? a.master->as<float>() : nullptr;
  const G* grads = a.grad.as<G>();
  parallel_for((a.param.size() + V::lanes - 1) / V::lanes, kGrain / V::lanes,
               [&](int64_t first, int64_t last) {
                 const int64_t end = std::min(last * V::lanes, a.param.size());
                 for (int64_t i = first * V::lanes; i < end; i += V::lanes) {
                   const int count = lanes_left<float>(end - i);
                   V p = master ? load(master + i, count) : load(params + i, count);
                   const V g = load(grads + i, count) * scale + p * pull;
                   const V m = load(a.exp_avg + i, count) * beta1 + g * rest1;
                   const V v = load(a.exp_avg_sq + i, count) * beta2 + g * g * rest2;
                   p = p * keep - rate * m / (sqrt(v) * root + eps);
                   store(a.exp_avg + i, m, count);
                   store(a.exp_avg_sq + i, v, count);
                   if (master) store(master + i, p, count);
                   store(params + i, p, count);
                 }
               });
}

template <class T>
double sum_squares(const T* x, int64_t n) {
  using V = Vec<compute_t<T>>;
  double total = 0;
  for (int64_t start = 0; start < n; start += 4096) {  // short runs in the compute type
    V part = compute_t<T>(0);
    const int64_t end = std::min<int64_t>(n, start + 4096);
    for (int64_t i = start; i < end; i += V::lanes) {
      const V value = load(x + i, lanes_left<compute_t<T>>(end - i));
      part += value * value;
    }
    total += sum(part);
  }
  return total;
}

}  // namespace

void adamw_step(const AdamWArgs& a) {
  if (a.param.dtype == DType::f32) return step<float, float>(a);
  if (a.grad.dtype == DType::f32) return step<bfloat16, float>(a);
  return step<bfloat16, bfloat16>(a);
}

void sum_of_squares(const Array& x, double& result) {
  const int64_t n = x.size(), blocks = (n + kBlock - 1) / kBlock;
  std::vector<double> partial(blocks);
  with_float_type(x.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(blocks, 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        partial[b] = sum_squares(x.as<T>() + b * kBlock, std::min(kBlock, n - b * kBlock));
      }
    });
  });
  result = 0;
  for (const double part : partial) result += part;
}

}  // namespace pyllm::PYLLM_ISA
