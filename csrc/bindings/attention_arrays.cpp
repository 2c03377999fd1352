#include "bindings/attention_arrays.h"

#include <string>

namespace pyllm::bind {

void require_contiguous_rows(const Array& out, const char* name) {
  const int last = out.ndim - 1;
  if (out.strides[last] != 1 && out.shape[last] > 1 && out.size() > 0) {
    fail_value(name,
               "expected a contiguous last axis, got stride " + std::to_string(out.strides[last]));
  }
}

Array as_4d(const Array& a) {
  if (a.ndim == 4) return a;
  return {a.data,
          a.dtype,
          4,
          {1, a.shape[0], a.shape[1], a.shape[2]},
          {0, a.strides[0], a.strides[1], a.strides[2]}};
}

void require_apart(const Array& out, const char* name, const Array& other, const char* other_name) {
  if (out.size() == 0 || other.size() == 0) return;
  const auto extent = [](const Array& a) {
    const auto item = static_cast<int64_t>(size_of(a.dtype));
    int64_t low = static_cast<int64_t>(reinterpret_cast<intptr_t>(a.data)), high = low + item;
    for (int i = 0; i < a.ndim; ++i) {
      const int64_t reach = (a.shape[i] - 1) * a.strides[i] * item;
      (reach < 0 ? low : high) += reach;
    }
    return std::pair(low, high);
  };
  const auto [low, high] = extent(out);
  const auto [other_low, other_high] = extent(other);
  if (high <= other_low || other_high <= low) return;
  // Both walk over rows of one buffer with the same pitch: apart if their columns are.
  const int seq = out.ndim - 3;
  if (seq >= 0 && out.ndim == other.ndim && out.dtype == other.dtype &&
      out.strides[seq] == other.strides[seq] && out.strides[seq] > 0) {
    const int64_t pitch = out.strides[seq];
    const auto width = [&](const Array& a) {
      return (a.shape[seq + 1] - 1) * a.strides[seq + 1] + a.shape[seq + 2];
    };
    const auto in_rows = [&](const Array& a) {
      return a.strides[seq + 1] >= 0 && width(a) <= pitch &&
             (seq == 0 || a.shape[0] == 1 || a.strides[0] % pitch == 0);
    };
    const int64_t distance =
        (reinterpret_cast<intptr_t>(other.data) - reinterpret_cast<intptr_t>(out.data)) /
        static_cast<int64_t>(size_of(out.dtype));
    const int64_t column = (distance % pitch + pitch) % pitch;
    if (in_rows(out) && in_rows(other) && column >= width(out) && pitch - column >= width(other)) {
      return;
    }
  }
  fail_value(name, std::string("overlaps the memory of ") + other_name);
}

}  // namespace pyllm::bind
