// The larger kernels at sizes that end inside tiles and vectors. The numbers are checked in Python;
// here the sanitizers watch the memory and the threads.
#include <cmath>

#include "arrays.h"
#include "check.h"
#include "cpu/attention.h"
#include "cpu/embedding.h"
#include "cpu/linear.h"
#include "cpu/linear_cross_entropy.h"
#include "cpu/norm.h"

using namespace pyllm;

namespace {

bool finite(const OwnedArray<float>& a) {
  for (const float v : a.values) {
    if (!std::isfinite(v)) return false;
  }
  return true;
}

}  // namespace

TEST(attention_at_odd_lengths) {
  for (const int64_t length : {1, 13, 70, 131}) {
    const int64_t keys = length + 5;
    auto q = floats({2, length, 4, 24}), grad = floats({2, length, 4, 24}, 2);
    auto k = floats({2, keys, 2, 24}, 3), v = floats({2, keys, 2, 24}, 4);
    auto out = floats({2, length, 4, 24}), lse = floats({2, 4, length});
    auto dq = floats({2, length, 4, 24}), dk = floats({2, keys, 2, 24}),
         dv = floats({2, keys, 2, 24});
    AttentionOptions options;
    options.scale = 0.2;
    options.right = 0;
    options.dropout_p = 0.1;
    attention_forward(AttentionArgs{q.view, k.view, v.view, out.view, lse.view, options});
    attention_backward(AttentionBackwardArgs{q.view, k.view, v.view, out.view, lse.view, grad.view,
                                             dq.view, dk.view, dv.view, nullptr, options});
    CHECK(finite(out) && finite(lse) && finite(dq) && finite(dk) && finite(dv));
  }
}

TEST(linear_at_odd_sizes) {
  for (const int64_t rows : {1, 5, 67}) {
    auto x = floats({rows, 37}), weight = floats({29, 37}, 2), bias = floats({29}, 3);
    auto y = floats({rows, 29}), z = floats({rows, 29}), dx = floats({rows, 37});
    auto dweight = floats({29, 37}), dbias = floats({29});
    linear_forward(LinearArgs{x.view, weight.view, y.view, &bias.view, &z.view, Activation::gelu});
    linear_backward(LinearBackwardArgs{y.view, x.view, weight.view, &z.view, Activation::gelu,
                                       &dx.view, &dweight.view, &dbias.view, true});
    CHECK(finite(y) && finite(dx) && finite(dweight) && finite(dbias));
  }
}

TEST(linear_cross_entropy_in_chunks) {
  auto hidden = floats({300, 24}), weight = floats({101, 24}, 2), loss = floats({1});
  auto dhidden = floats({300, 24}), dweight = floats({101, 24});
  std::vector<int64_t> targets(300);
  for (int64_t i = 0; i < 300; ++i) targets[i] = i % 7 == 0 ? -100 : i % 101;
  LinearCrossEntropyArgs args;
  args.hidden = hidden.view, args.weight = weight.view, args.loss = loss.view;
  args.options.targets = targets.data();
  args.gradients = true;
  args.dhidden = dhidden.view, args.dweight = dweight.view;
  linear_cross_entropy(args);
  CHECK(finite(loss) && finite(dhidden) && finite(dweight));
}

TEST(norm_and_embedding) {
  auto x = floats({130, 33}), y = floats({130, 33}), dx = floats({130, 33});
  auto weight = floats({33}, 2), bias = floats({33}, 3), mean = floats({130}), rstd = floats({130});
  auto dweight = floats({33}), dbias = floats({33});
  NormArgs forward;
  forward.x = x.view, forward.y = y.view, forward.weight = &weight.view, forward.bias = &bias.view;
  forward.mean = &mean.view, forward.rstd = &rstd.view;
  norm_forward(forward);
  NormBackwardArgs backward;
  backward.dy = y.view, backward.x = x.view, backward.dx = dx.view, backward.weight = &weight.view;
  backward.mean = &mean.view, backward.rstd = rstd.view;
  backward.dweight = &dweight.view, backward.dbias = &dbias.view;
  norm_backward(backward);
  CHECK(finite(y) && finite(dx) && finite(dweight) && finite(dbias));

  std::vector<int64_t> ids(130);
  for (int64_t i = 0; i < 130; ++i) ids[i] = i * i % 17;
  auto table = floats({17, 33}), dtable = floats({17, 33});
  embedding_forward(EmbeddingArgs{ids.data(), 130, table.view, y.view});
  embedding_backward(EmbeddingBackwardArgs{x.view, ids.data(), 130, dtable.view, -1, false});
  CHECK(finite(y) && finite(dtable));
}
