#include <cmath>

#include "arrays.h"
#include "check.h"
#include "cpu/softmax.h"

using namespace pyllm;

TEST(softmax_rows_of_odd_lengths) {
  for (const int64_t n : {1, 3, 15, 16, 17, 33, 129}) {
    auto x = floats({40, n}), y = floats({40, n}), dx = floats({40, n});
    softmax_forward(SoftmaxArgs{.x = x.view, .y = y.view, .axis = 1});
    for (int64_t r = 0; r < 40; ++r) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += y.values[r * n + i];
      CHECK(std::abs(sum - 1) < 1e-6);
    }
    softmax_backward(SoftmaxBackwardArgs{.dy = x.view, .y = y.view, .dx = dx.view, .axis = 1});
    for (int64_t r = 0; r < 40; ++r) {
      double sum = 0;
      for (int64_t i = 0; i < n; ++i) sum += dx.values[r * n + i];
      CHECK(std::abs(sum) < 1e-5);
    }
  }
}

TEST(softmax_along_the_first_axis) {
  auto x = floats({7, 50}), y = floats({7, 50});
  softmax_forward(SoftmaxArgs{.x = x.view, .y = y.view, .axis = 0, .log = true});
  double sum = 0;
  for (int64_t i = 0; i < 7; ++i) sum += std::exp(y.values[i * 50 + 49]);
  CHECK(std::abs(sum - 1) < 1e-6);
}
