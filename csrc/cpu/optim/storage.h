// Which storage types a step is compiled for: gradients have the parameters' or the compute type.
#pragma once

#include "cpu/optim/parameters.h"

namespace pyllm::PYLLM_ISA {

// f(Tag of the parameter, Tag of the gradient)
template <class F>
void with_storage(const Parameters& a, F&& f) {
  const bool same = a.grad.dtype == a.param.dtype;
  switch (a.param.dtype) {
    case DType::f64:
      return f(Tag<double>{}, Tag<double>{});
    case DType::bf16:
      return same ? f(Tag<bfloat16>{}, Tag<bfloat16>{}) : f(Tag<bfloat16>{}, Tag<float>{});
    case DType::f16:
      return same ? f(Tag<float16>{}, Tag<float16>{}) : f(Tag<float16>{}, Tag<float>{});
    default:
      return f(Tag<float>{}, Tag<float>{});
  }
}

}  // namespace pyllm::PYLLM_ISA
