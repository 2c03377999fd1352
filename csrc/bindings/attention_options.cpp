#include "bindings/attention_options.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/memory.h"

namespace pyllm::bind {
namespace {

[[noreturn]] void fail(const std::string& message) {
  throw py::value_error(message);
}

double number(py::handle object, const char* name) {
  const double value = PyFloat_AsDouble(object.ptr());
  if (value == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    throw py::type_error(std::string(name) + ": expected a number or None, got " +
                         std::string(py::str(py::type::of(object).attr("__name__"))));
  }
  return value;
}

// One side of a window: None or -1 is unlimited.
int64_t window_edge(py::handle edge) {
  if (edge.is_none()) return kUnlimited;
  if (!PyLong_Check(edge.ptr()) && !PyIndex_Check(edge.ptr())) {
    throw py::type_error("window: expected (left, right), each a whole number or None");
  }
  const auto value = PyLong_AsLongLong(py::int_(py::reinterpret_borrow<py::object>(edge)).ptr());
  if (value == -1 && PyErr_Occurred()) {
    PyErr_Clear();
    fail("window: a side is out of range");
  }
  if (value < -1)
    fail("window: expected sides of at least 0 (or None), got " + std::to_string(value));
  return value == -1 ? kUnlimited : std::min<int64_t>(value, kUnlimited);
}

void check_starts(const std::vector<int64_t>& starts, int64_t total, const char* name) {
  if (starts.empty() || starts.front() != 0 || starts.back() != total ||
      !std::is_sorted(starts.begin(), starts.end())) {
    fail(std::string(name) + ": expected offsets that start at 0, never fall and end at " +
         std::to_string(total) + ", the number of tokens");
  }
}

int64_t longest(const std::vector<int64_t>& starts) {
  int64_t most = 0;
  for (size_t i = 1; i < starts.size(); ++i) most = std::max(most, starts[i] - starts[i - 1]);
  return most;
}

}  // namespace

Options::Options(const OptionArgs& given, const Array& q, const Array& k) {
  options_.scale =
      given.scale.is_none() ? 1.0 / std::sqrt(double(q.shape[3])) : number(given.scale, "scale");
  if (!std::isfinite(options_.scale)) fail("scale: expected a finite number");
  if (!given.softcap.is_none()) {
    options_.softcap = number(given.softcap, "softcap");
    if (!(options_.softcap > 0) || std::isinf(options_.softcap)) {
      fail("softcap: expected a positive finite number, got " + std::to_string(options_.softcap));
    }
  }
  if (!(given.dropout_p >= 0 && given.dropout_p < 1)) {
    fail("dropout_p: expected 0 <= p < 1, got " + std::to_string(given.dropout_p));
  }
  options_.dropout_p = given.dropout_p;
  options_.seed = given.seed;
  options_.stream = given.stream;
  read_window(given.window, given.causal);
  read_starts(given.cu_seqlens_q, given.cu_seqlens_k, q, k);
  bias_ = optional_input(given.bias, "bias");
  if (bias_) read_bias(q, k);
  key_mask_ = optional_input(given.key_padding_mask, "key_padding_mask");
  if (key_mask_) read_key_mask(k);
  alibi_ = optional_input(given.alibi_slopes, "alibi_slopes");
  if (alibi_) read_alibi(q);
}

void Options::read_window(py::handle window, bool causal) {
  if (!window.is_none()) {
    if (!py::isinstance<py::tuple>(window) && !py::isinstance<py::list>(window)) {
      throw py::type_error("window: expected (left, right) or None");
    }
    const auto pair = py::reinterpret_borrow<py::sequence>(window);
    if (pair.size() != 2) fail("window: expected two sides, got " + std::to_string(pair.size()));
    options_.left = window_edge(pair[0]);
    options_.right = window_edge(pair[1]);
  }
  if (causal) options_.right = 0;
}

void Options::read_starts(py::handle cu_q, py::handle cu_k, const Array& q, const Array& k) {
  if (cu_q.is_none()) {
    if (!cu_k.is_none()) fail("cu_seqlens_k: expected None without cu_seqlens_q");
    return;
  }
  q_starts_ = read_integers(Input(cu_q, "cu_seqlens_q").require_ndim(1));
  check_starts(q_starts_, q.shape[1], "cu_seqlens_q");
  k_starts_ =
      cu_k.is_none() ? q_starts_ : read_integers(Input(cu_k, "cu_seqlens_k").require_ndim(1));
  check_starts(k_starts_, k.shape[1], "cu_seqlens_k");
  if (k_starts_.size() != q_starts_.size()) {
    fail("cu_seqlens_k: expected as many offsets as cu_seqlens_q, " +
         std::to_string(q_starts_.size()) + ", got " + std::to_string(k_starts_.size()));
  }
  options_.q_starts = q_starts_.data();
  options_.k_starts = k_starts_.data();
  options_.sequences = static_cast<int64_t>(q_starts_.size()) - 1;
}

void Options::read_bias(const Array& q, const Array& k) {
  bias_->require_float();
  const bool packed = options_.q_starts != nullptr;
  bias_view_ = broadcast(
      *bias_, {packed ? options_.sequences : q.shape[0], q.shape[2],
               packed ? longest(q_starts_) : q.shape[1], packed ? longest(k_starts_) : k.shape[1]});
  options_.bias = &bias_view_;
}

void Options::read_key_mask(const Array& k) {
  if (options_.q_starts) fail("key_padding_mask: expected None with cu_seqlens_q");
  key_mask_->require_dtype({DType::boolean}).require_shape({k.shape[0], k.shape[1]});
  key_mask_view_ = key_mask_->view();
  options_.key_mask = &key_mask_view_;
}

void Options::read_alibi(const Array& q) {
  alibi_->require_dtype({DType::f32});
  alibi_view_ =
      broadcast(*alibi_, {options_.q_starts ? options_.sequences : q.shape[0], q.shape[2]});
  options_.alibi = &alibi_view_;
}

Array with_contiguous_rows(const Input& a, std::vector<Copy>& copies) {
  const Array& view = a.view();
  const int last = view.ndim - 1;
  if (view.strides[last] == 1 || view.shape[last] <= 1 || view.size() == 0) return view;
  Array copy = view;
  int64_t stride = 1;
  for (int i = last; i >= 0; --i) {
    copy.strides[i] = stride;
    stride *= view.shape[i];
  }
  const size_t item = size_of(view.dtype);
  copies.emplace_back(allocate(static_cast<size_t>(stride) * item), deallocate);
  copy.data = copies.back().get();
  auto* to = static_cast<char*>(copy.data);
  for (int64_t r = 0; r < stride; ++r, to += item) {
    int64_t offset = 0;
    for (int64_t i = last, rest = r; i >= 0; --i) {
      offset += rest % view.shape[i] * view.strides[i];
      rest /= view.shape[i];
    }
    std::memcpy(to, static_cast<const char*>(view.data) + offset * int64_t(item), item);
  }
  return copy;
}

void require_contiguous_rows(const Array& out, const char* name) {
  const int last = out.ndim - 1;
  if (out.strides[last] != 1 && out.shape[last] > 1 && out.size() > 0) {
    fail(std::string(name) + ": expected a contiguous last axis, got stride " +
         std::to_string(out.strides[last]));
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

std::vector<int64_t> read_integers(const Input& a) {
  a.require_dtype({DType::i32, DType::i64});
  const int64_t columns = a->ndim == 2 ? a->shape[1] : 1;
  std::vector<int64_t> values(a->size());
  for (int64_t i = 0; i < a->size(); ++i) {
    const int64_t at =
        i / columns * a->strides[0] + (a->ndim == 2 ? i % columns * a->strides[1] : 0);
    values[i] = a->dtype == DType::i64 ? a->as<int64_t>()[at] : a->as<int32_t>()[at];
  }
  return values;
}

Output output_like_named(const Input& like, py::handle out, const char* name) {
  return make_output(like, out, like.shape(), like->dtype, name);
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
  fail(std::string(name) + ": overlaps the memory of " + other_name);
}

}  // namespace pyllm::bind
