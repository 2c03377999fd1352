#include "cpu/rotary.h"

#include <vector>

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

// (seq, heads, dim) as (1, seq, heads, dim).
Array with_batch(const Array& a) {
  if (a.ndim == 4) return a;
  Array view = a;
  view.ndim = 4;
  for (int i = 3; i > 0; --i) view.shape[i] = a.shape[i - 1], view.strides[i] = a.strides[i - 1];
  view.shape[0] = 1, view.strides[0] = 0;
  return view;
}

// One position for each (batch, seq), given as (seq,) or (batch, seq); counted from 0 where None.
std::vector<int64_t> read_positions(py::handle object, int64_t batch, int64_t seq, int64_t length) {
  std::vector<int64_t> values(batch * seq);
  const auto given = optional_input(object, "positions");
  if (!given) {
    if (seq > length) {
      throw py::value_error("cos: has " + std::to_string(length) + " positions, x needs " +
                            std::to_string(seq));
    }
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int64_t>(i) % seq;
    return values;
  }
  given->require_dtype({DType::i32, DType::i64});
  const Array& p = given->view();
  if (p.ndim == 2) {
    given->require_shape({batch, seq});
  } else {
    given->require_shape({seq});
  }
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t t = 0; t < seq; ++t) {
      const int64_t at = p.ndim == 2 ? b * p.strides[0] + t * p.strides[1] : t * p.strides[0];
      const int64_t value = p.dtype == DType::i32 ? p.as<int32_t>()[at] : p.as<int64_t>()[at];
      if (value < 0 || value >= length) {
        throw py::value_error("positions: expected 0 <= position < " + std::to_string(length) +
                              ", got " + std::to_string(value));
      }
      values[b * seq + t] = value;
    }
  }
  return values;
}

py::object apply(const char* name, py::handle x_object, py::handle cos_object,
                 py::handle sin_object, py::handle positions, bool interleaved, py::handle out,
                 bool inverse) {
  const Input x(x_object, name), cos(cos_object, "cos"), sin(sin_object, "sin");
  x.require_float();
  if (x->ndim != 3 && x->ndim != 4) {
    throw py::value_error(std::string(name) +
                          ": expected (batch, seq, heads, dim) or (seq, heads, dim), got shape " +
                          shape_string(x.shape()));
  }
  cos.require_float().require_ndim(2);
  sin.require_same_dtype(cos).require_same_shape(cos);
  const int64_t dim = x->shape[x->ndim - 1];
  if (2 * cos.shape(1) > dim) {
    throw py::value_error("cos: has " + std::to_string(cos.shape(1)) + " pairs, " + name +
                          " only " + std::to_string(dim) + " features");
  }
  RotaryArgs args;
  args.x = with_batch(x.view());
  const auto values = read_positions(positions, args.x.shape[0], args.x.shape[1], cos.shape(0));
  const Output y = output_like(x, out);
  require_no_overlap(y.view, x, true);
  require_no_overlap(y.view, cos, false);
  require_no_overlap(y.view, sin, false);
  args.y = with_batch(y.view);
  args.cos = cos.view(), args.sin = sin.view();
  args.positions = values.data();
  args.interleaved = interleaved, args.inverse = inverse;
  run(x->size(), [&] { rotary(args); });
  return y.object;
}

}  // namespace

void bind_rotary(py::module_& m) {
  m.def("rotary",
        [](py::handle x, py::handle cos, py::handle sin, py::handle positions, bool interleaved,
           py::handle out) { return apply("x", x, cos, sin, positions, interleaved, out, false); });
  m.def("rotary_backward", [](py::handle grad, py::handle cos, py::handle sin, py::handle positions,
                              bool interleaved, py::handle out) {
    return apply("grad", grad, cos, sin, positions, interleaved, out, true);
  });
}

}  // namespace pyllm::bind
