#include "bindings_cuda/matrices.h"

#include <algorithm>

namespace pyllm::bind_cuda {
namespace {

// One stride walks along the elements and the other from line to line, past the whole of each.
bool in_lines(int64_t along, int64_t length, int64_t across, int64_t lines) {
  return (along == 1 || length == 1) && (across >= std::max<int64_t>(length, 1) || lines == 1);
}

bool by_rows(const Array& a) {
  const int row = a.ndim - 2, column = a.ndim - 1;
  return in_lines(a.strides[column], a.shape[column], a.strides[row], a.shape[row]);
}

Matrices matrix_of_last_axes(const Array& a) {
  const int row = a.ndim - 2, column = a.ndim - 1;
  Matrices m{a.data, a.dtype, a.shape[row], a.shape[column], a.strides[row], a.strides[column], 0};
  if (by_rows(a)) {
    m.column_stride = 1;
    if (m.rows == 1) m.row_stride = m.columns;
  } else {
    m.row_stride = 1;
    if (m.columns == 1) m.column_stride = m.rows;
  }
  return m;
}

uint64_t bits_of_one(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return 0x3C00;
    case DType::bf16:
      return 0x3F80;
    default:
      return 0x3F800000;
  }
}

// The batch axes of a product, those merged that one stride a matrix can describe.
struct Batches {
  std::vector<int64_t> shape;
  std::vector<int64_t> strides[3];

  Batches(const Array* const (&arrays)[3]) {
    for (int i = 0; i < arrays[0]->ndim - 2; ++i) {
      if (arrays[0]->shape[i] == 1) continue;
      bool joins = !shape.empty();
      for (int k = 0; k < 3 && joins; ++k) {
        joins = strides[k].back() == arrays[k]->strides[i] * arrays[0]->shape[i];
      }
      for (int k = 0; k < 3; ++k) {
        if (joins) strides[k].pop_back();
        strides[k].push_back(arrays[k]->strides[i]);
      }
      if (joins) {
        shape.back() *= arrays[0]->shape[i];
      } else {
        shape.push_back(arrays[0]->shape[i]);
      }
    }
  }
};

}  // namespace

bool readable(const Array& a) {
  const int row = a.ndim - 2, column = a.ndim - 1;
  return by_rows(a) || in_lines(a.strides[row], a.shape[row], a.strides[column], a.shape[column]);
}

Matrices read_matrix(Call& call, const Array& a) {
  return matrix_of_last_axes(readable(a) ? a : read_contiguous(call, a));
}

void multiply_stack(Call& call, const Array& a_given, const Array& b_given, const Array& c_given,
                    bool accumulate) {
  if (c_given.size() == 0) return;
  if (a_given.shape[a_given.ndim - 1] == 0) {
    if (!accumulate) call.fill(c_given, 0);
    return;
  }
  const auto prepared = [&](const Array& a) {
    if (readable(a)) return a;
    Array copy = workspace_like(call, a);
    call.copy(a, copy);
    return copy;
  };
  const Array a = prepared(a_given), b = prepared(b_given);
  const bool direct = by_rows(c_given);
  const Array c = direct ? c_given : workspace_like(call, c_given);
  if (!direct && accumulate) call.copy(c_given, c);

  const Batches batches({&a, &b, &c});
  Product p;
  p.a = matrix_of_last_axes(a), p.b = matrix_of_last_axes(b), p.c = matrix_of_last_axes(c);
  p.accumulate = accumulate;
  const size_t axes = batches.shape.size();
  if (axes > 0) {
    p.batch = batches.shape.back();
    p.a.batch_stride = batches.strides[0].back();
    p.b.batch_stride = batches.strides[1].back();
    p.c.batch_stride = batches.strides[2].back();
  }
  int64_t outer = 1;
  for (size_t i = 0; i + 1 < axes; ++i) outer *= batches.shape[i];
  Matrices* const matrices[] = {&p.a, &p.b, &p.c};
  void* const starts[] = {p.a.data, p.b.data, p.c.data};
  for (int64_t n = 0; n < outer; ++n) {
    for (int k = 0; k < 3; ++k) {
      int64_t offset = 0, rest = n;
      for (size_t i = axes > 0 ? axes - 1 : 0; i-- > 0;) {
        offset += rest % batches.shape[i] * batches.strides[k][i];
        rest /= batches.shape[i];
      }
      matrices[k]->data = static_cast<char*>(starts[k]) +
                          offset * static_cast<int64_t>(size_of(matrices[k]->dtype));
    }
    multiply(call, p);
  }
  if (!direct) call.copy(c, c_given);
}

Array row_of_ones(Call& call, int64_t n, DType dtype) {
  Array ones;
  ones.dtype = dtype, ones.ndim = 2;
  ones.shape = {1, n};
  ones = workspace_like(call, ones);
  call.fill(ones, bits_of_one(dtype));
  return ones;
}

}  // namespace pyllm::bind_cuda
