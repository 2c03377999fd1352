// c = a b with at most kSkinnyRows rows: the shape of decoding, where each element of b is used for
// a handful of operations and memory bandwidth is the limit.
//
// b is read once, in its storage type, a few of its columns at a time (contiguous in k, as the rows
// of a linear layer's weight are), so that several streams are in flight; all rows of a are
// multiplied with what is in registers, eight at a time. (Beyond 16 rows the BLAS is the faster.)
#pragma once

#include "cpu/product.h"

namespace pyllm {

constexpr int64_t kSkinnyRows = 16;

// Whether skinny_product takes this product.
inline bool is_skinny(const Product& p) {
  return p.c.rows <= kSkinnyRows && p.a.dtype != DType::f64 && p.b.row_stride == 1 &&
         p.b.columns >= 16 && p.b.rows >= 256;
}

PYLLM_KERNEL(skinny_product, (const Product& product));

}  // namespace pyllm
