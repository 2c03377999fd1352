// One task a range of rows. Forward: memory sees the logits once; nothing but the loss and the
// log-sum-exp of each row is kept. Backward: reads the logits once more, writes dlogits, which may
// take the place of the logits.
#include "cpu/cross_entropy.h"

#include <vector>

#include "core/parallel.h"
#include "cpu/cross_entropy_rows.h"
#include "cpu/rows.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr int64_t kGrain = 8192;  // elements a thread should have to be worth waking

template <class T>
void forward(const CrossEntropyArgs& a) {
  using C = compute_t<T>;
  const int64_t n = a.logits.shape[a.logits.ndim - 1];
  const Rows rows(a.logits, a.logits.ndim - 1);
  const RowLoss<C> rule(a.options, n);
  C* lse = a.lse.as<C>();
  std::vector<C> losses(rows.count());
  parallel_for(rows.count(), kGrain / (n + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> in(n, rows.axis_stride());
    for (int64_t r = begin; r < end; ++r) {
      losses[r] = rule.loss(in.read(a.logits.as<T>() + rows.offset(r)), r, lse[r]);
    }
  });
  reduce_losses(losses.data(), rows.count(), a.options.reduction, rule.total_weight(rows.count()),
                a.loss.as<C>());
}

template <class T>
void backward(const CrossEntropyBackwardArgs& a) {
  using C = compute_t<T>;
  const int64_t n = a.logits.shape[a.logits.ndim - 1];
  const Rows rows(a.logits, a.logits.ndim - 1), out_rows(a.dlogits, a.dlogits.ndim - 1);
  const RowLoss<C> rule(a.options, n);
  const bool per_row = a.options.reduction == Reduction::none;
  const double share =
      a.options.reduction == Reduction::mean ? 1 / rule.total_weight(rows.count()) : 1.0;
  const C* lse = a.lse.as<C>();
  const bool streamed = a.dlogits.data != a.logits.data && streams(a.dlogits);
  parallel_for(rows.count(), kGrain / (n + 1) + 1, [&](int64_t begin, int64_t end) {
    RowBuffer<T> in(n, rows.axis_stride()), out(n, out_rows.axis_stride());
    with_writer(streamed, [&](auto put) {
      for (int64_t r = begin; r < end; ++r) {
        T* row = a.dlogits.as<T>() + out_rows.offset(r);
        rule.gradient(in.read(a.logits.as<T>() + rows.offset(r)), out.target(row), r, lse[r],
                      static_cast<C>(a.grad[per_row ? r : 0] * share), put);
        out.write(row);
      }
    });
  });
}

}  // namespace

void cross_entropy_forward(const CrossEntropyArgs& a) {
  with_float_type(a.logits.dtype, [&](auto tag) { forward<typename decltype(tag)::type>(a); });
}

void cross_entropy_backward(const CrossEntropyBackwardArgs& a) {
  with_float_type(a.logits.dtype, [&](auto tag) { backward<typename decltype(tag)::type>(a); });
}

}  // namespace pyllm::PYLLM_ISA
