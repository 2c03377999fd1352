// A stack of products. Where b is the same for the whole stack and a's leading axes merge into its
// rows, it is one large product; otherwise small products are handed out one a task, and large
// ones are each spread over all threads.
#include "cpu/matmul.h"

#include "core/parallel.h"
#include "cpu/batches.h"
#include "cpu/product.h"

namespace pyllm::PYLLM_ISA {
namespace {

constexpr double kLargeFlops = 5e7;  // worth spreading one product over all threads

int64_t offset_of(const Array& a, int64_t index) {
  int64_t offset = 0;
  for (int i = a.ndim - 3; i >= 0; --i) {
    offset += index % a.shape[i] * a.strides[i];
    index /= a.shape[i];
  }
  return offset;
}

Matrix at(const Array& a, int64_t index) {
  return matrix(a, offset_of(a, index), a.shape[a.ndim - 2], a.strides[a.ndim - 2]);
}

bool repeats(const Array& b) {
  for (int i = 0; i < b.ndim - 2; ++i) {
    if (b.shape[i] != 1 && b.strides[i] != 0) return false;
  }
  return true;
}

}  // namespace

void matmul(const MatmulArgs& args) {
  if (args.c.size() == 0) return;
  if (repeats(args.b) && rows_merge_from(args.a, 0) && rows_merge_from(args.c, 0)) {
    const RowPieces rows({&args.a, &args.c});
    Product p;
    p.a = rows.piece(args.a, 0), p.b = at(args.b, 0), p.c = rows.piece(args.c, 0);
    return product(p);
  }
  const int ndim = args.c.ndim;
  int64_t batches = 1;
  for (int i = 0; i < ndim - 2; ++i) batches *= args.c.shape[i];
  const double flops = 2.0 * double(args.c.shape[ndim - 2]) * double(args.c.shape[ndim - 1]) *
                       double(args.a.shape[ndim - 1]);
  const auto one = [&](int64_t i) {
    Product p;
    p.a = at(args.a, i), p.b = at(args.b, i), p.c = at(args.c, i);
    product(p);
  };
  if (flops >= kLargeFlops && batches < 2 * num_threads()) {
    for (int64_t i = 0; i < batches; ++i) one(i);
  } else {
    const int64_t grain = static_cast<int64_t>(2e5 / (flops + 1)) + 1;
    parallel_for(batches, grain, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) one(i);
    });
  }
}

}  // namespace pyllm::PYLLM_ISA
