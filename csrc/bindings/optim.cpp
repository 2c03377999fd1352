// Optimizer steps, in place.
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "cpu/optim/adafactor.h"
#include "cpu/optim/adam.h"
#include "cpu/optim/gradient_norm.h"
#include "cpu/optim/lion.h"
#include "cpu/optim/quantize.h"
#include "cpu/optim/sgd.h"

namespace pyllm::bind {
namespace {

void require_fraction(double value, const char* name) {
  if (value >= 0 && value < 1) return;
  throw py::value_error(std::string(name) + ": expected 0 <= x < 1, got " + std::to_string(value));
}

std::pair<py::object, py::object> as_blockwise(py::handle object, const char* name) {
  const auto pair = py::cast<py::tuple>(object);
  if (pair.size() != 2) throw py::value_error(std::string(name) + ": expected (codes, scale)");
  return {pair[0], pair[1]};
}

void require_blockwise(const Input& codes, const Input& scale, int64_t n) {
  codes.require_dtype({DType::u8}).require_shape({n}).require_contiguous();
  scale.require_dtype({DType::f32}).require_shape({blocks_of(n)}).require_contiguous();
}

// Parameter, gradient, master copy and states, checked to be contiguous, alike and writable.
class Buffers {
 public:
  Buffers(py::handle param, py::handle grad, py::handle master, bool flat = true)
      : param_(param, "param"), grad_(grad, "grad"), master_(optional_input(master, "master")) {
    param_.require_float().require_contiguous();
    if (flat) param_.require_ndim(1);
    compute_ = param_->dtype == DType::f64 ? DType::f64 : DType::f32;
    if (grad_->dtype != compute_) grad_.require_dtype({param_->dtype});
    grad_.require_same_shape(param_).require_contiguous();
    require_writable(param_);
    if (master_) {
      if (size_of(param_->dtype) != 2) {
        throw py::value_error("master: only 16-bit parameters have one, param is " +
                              std::string(name_of(param_->dtype)));
      }
      require_state(*master_, param_.shape());
    }
  }

  Array array(py::handle object, const char* name, std::span<const int64_t> shape) {
    const Input& input = keep(object, name);
    require_state(input, shape);
    return input.view();
  }
  Array array(py::handle object, const char* name) { return array(object, name, param_.shape()); }

  // None is absent.
  State optional_state(py::handle object, const char* name, bool is_signed) {
    return object.is_none() ? State{} : state(object, name, is_signed);
  }

  // An array, or the pair of a quantised state.
  State state(py::handle object, const char* name, bool is_signed) {
    State state;
    state.is_signed = is_signed;
    const bool pair = py::isinstance<py::tuple>(object);
    if (quantized_.value_or(pair) != pair) {
      throw py::value_error(std::string(name) + ": either all states are block-wise or none");
    }
    quantized_ = pair;
    if (!pair) {
      static_cast<Array&>(state) = array(object, name);
      return state;
    }
    if (compute_ != DType::f32) {
      throw py::value_error(std::string(name) + ": float64 parameters have no block-wise states");
    }
    const auto [codes, scale] = as_blockwise(object, name);
    const Input& bytes = keep(codes, name);
    const Input& scales = keep(scale, name);
    require_blockwise(bytes, scales, param_.shape(0));
    require_writable(bytes), require_writable(scales);
    static_cast<Array&>(state) = bytes.view();
    state.scale = scales.view();
    return state;
  }

  template <class Args>
  Args args(double grad_scale) const {
    Args args;
    args.param = param_.view(), args.grad = grad_.view();
    args.master = master_ ? &master_->view() : nullptr;
    args.grad_scale = grad_scale;
    return args;
  }

  int64_t size() const { return param_->size(); }
  std::span<const int64_t> shape() const { return param_.shape(); }

 private:
  const Input& keep(py::handle object, const char* name) {
    inputs_.push_back(std::make_unique<Input>(object, name));
    return *inputs_.back();
  }
  void require_state(const Input& state, std::span<const int64_t> shape) const {
    state.require_dtype({compute_}).require_shape(shape).require_contiguous();
    require_writable(state);
  }
  static void require_writable(const Input& array) {
    if (!array.writable()) throw py::value_error(std::string(array.name()) + ": read-only");
  }

  Input param_, grad_;
  std::unique_ptr<Input> master_;
  std::vector<std::unique_ptr<Input>> inputs_;  // keep their arrays alive
  DType compute_;
  std::optional<bool> quantized_;
};

void adam(py::handle param, py::handle grad, py::handle exp_avg, py::handle exp_avg_sq, double lr,
          double beta1, double beta2, double eps, double weight_decay, int64_t number,
          py::handle max_exp_avg_sq, double grad_scale, py::handle master, bool decoupled) {
  Buffers buffers(param, grad, master);
  auto args = buffers.args<AdamArgs>(grad_scale);
  args.exp_avg = buffers.state(exp_avg, "exp_avg", true);
  args.exp_avg_sq = buffers.state(exp_avg_sq, "exp_avg_sq", false);
  args.max_exp_avg_sq = buffers.optional_state(max_exp_avg_sq, "max_exp_avg_sq", false);
  require_fraction(beta1, "beta1"), require_fraction(beta2, "beta2");
  if (number < 1) throw py::value_error("step: counted from 1, got " + std::to_string(number));
  args.lr = lr, args.beta1 = beta1, args.beta2 = beta2, args.eps = eps;
  args.weight_decay = weight_decay, args.step = number, args.decoupled = decoupled;
  run(buffers.size(), [&] { adam_step(args); });
}

void sgd(py::handle param, py::handle grad, py::handle momentum_buffer, double lr, double momentum,
         double dampening, double weight_decay, bool nesterov, bool first, double grad_scale,
         py::handle master) {
  Buffers buffers(param, grad, master);
  auto args = buffers.args<SgdArgs>(grad_scale);
  args.momentum_buffer = buffers.optional_state(momentum_buffer, "momentum_buffer", true);
  if (args.momentum_buffer.is_absent() && (momentum != 0 || nesterov)) {
    throw py::value_error("momentum_buffer: momentum and Nesterov's step need one");
  }
  args.lr = lr, args.momentum = momentum, args.dampening = dampening;
  args.weight_decay = weight_decay, args.nesterov = nesterov, args.first = first;
  run(buffers.size(), [&] { sgd_step(args); });
}

void lion(py::handle param, py::handle grad, py::handle exp_avg, double lr, double beta1,
          double beta2, double weight_decay, double grad_scale, py::handle master) {
  Buffers buffers(param, grad, master);
  auto args = buffers.args<LionArgs>(grad_scale);
  args.exp_avg = buffers.state(exp_avg, "exp_avg", true);
  require_fraction(beta1, "beta1"), require_fraction(beta2, "beta2");
  args.lr = lr, args.beta1 = beta1, args.beta2 = beta2, args.weight_decay = weight_decay;
  run(buffers.size(), [&] { lion_step(args); });
}

void adafactor(py::handle param, py::handle grad, py::handle row, py::handle col, py::handle square,
               py::handle exp_avg, double lr, double beta1, double beta2, double eps,
               double least_rms, double clip_threshold, double weight_decay, bool scale_parameter,
               double grad_scale, py::handle master) {
  Buffers buffers(param, grad, master, false);
  auto args = buffers.args<AdafactorArgs>(grad_scale);
  args.factored = square.is_none();
  args.cols = buffers.size();
  if (args.factored) {
    const auto shape = buffers.shape();
    if (shape.size() < 2) throw py::value_error("exp_avg_sq: needed for a param of rank below 2");
    std::vector<int64_t> of_row(shape.begin(), shape.end() - 1);
    std::vector<int64_t> of_col(shape.begin(), shape.end() - 2);
    args.rows = of_row.back(), args.cols = shape.back();
    for (const int64_t n : of_col) args.batches *= n;
    of_col.push_back(args.cols);
    args.row = buffers.array(row, "exp_avg_sq_row", of_row);
    args.col = buffers.array(col, "exp_avg_sq_col", of_col);
  } else {
    args.square = buffers.array(square, "exp_avg_sq");
  }
  Array moment;
  if (!exp_avg.is_none()) {
    moment = buffers.array(exp_avg, "exp_avg");
    args.exp_avg = &moment;
  }
  require_fraction(beta1, "beta1"), require_fraction(beta2, "beta2");
  if (!(clip_threshold > 0)) {
    throw py::value_error("clip_threshold: expected a positive number, got " +
                          std::to_string(clip_threshold));
  }
  args.lr = lr, args.beta1 = beta1, args.beta2 = beta2, args.weight_decay = weight_decay;
  args.eps = eps, args.least_rms = least_rms, args.clip_threshold = clip_threshold;
  args.scale_parameter = scale_parameter;
  run(buffers.size(), [&] { adafactor_step(args); });
}

py::tuple quantize(py::handle object, bool is_signed) {
  const Input x(object, "x");
  x.require_dtype({DType::f32}).require_ndim(1).require_contiguous();
  const int64_t n = x.shape(0);
  const Output codes = make_output(x, {n}, DType::u8);
  const Output scale = make_output(x, {blocks_of(n)}, DType::f32);
  run(n, [&] { quantize_blockwise(x.view(), is_signed, codes.view, scale.view); });
  return py::make_tuple(codes.object, scale.object);
}

py::object dequantize(py::handle object, bool is_signed) {
  const auto [first, second] = as_blockwise(object, "state");
  const Input codes(first, "state"), scale(second, "state");
  codes.require_ndim(1);
  const int64_t n = codes.shape(0);
  require_blockwise(codes, scale, n);
  const Output x = make_output(codes, {n}, DType::f32);
  run(n, [&] { dequantize_blockwise(codes.view(), scale.view(), is_signed, x.view); });
  return x.object;
}

double square_sum(py::handle object) {
  const Input x(object, "x");
  x.require_float().require_contiguous();
  double result = 0;
  run(x->size(), [&] { sum_of_squares(x.view(), result); });
  return result;
}

}  // namespace

void bind_optim(py::module_& m) {
  const auto none = py::none();
  m.def("adam_step", &adam, py::arg("param"), py::arg("grad"), py::arg("exp_avg"),
        py::arg("exp_avg_sq"), py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"),
        py::arg("weight_decay"), py::arg("step"), py::arg("max_exp_avg_sq") = none,
        py::arg("grad_scale") = 1.0, py::arg("master") = none, py::arg("decoupled") = false);
  m.def("sgd_step", &sgd, py::arg("param"), py::arg("grad"), py::arg("momentum_buffer"),
        py::arg("lr"), py::arg("momentum"), py::arg("dampening"), py::arg("weight_decay"),
        py::arg("nesterov"), py::arg("first"), py::arg("grad_scale") = 1.0,
        py::arg("master") = none);
  m.def("lion_step", &lion, py::arg("param"), py::arg("grad"), py::arg("exp_avg"), py::arg("lr"),
        py::arg("beta1"), py::arg("beta2"), py::arg("weight_decay"), py::arg("grad_scale") = 1.0,
        py::arg("master") = none);
  m.def("adafactor_step", &adafactor, py::arg("param"), py::arg("grad"), py::arg("exp_avg_sq_row"),
        py::arg("exp_avg_sq_col"), py::arg("exp_avg_sq"), py::arg("exp_avg"), py::arg("lr"),
        py::arg("beta1"), py::arg("beta2"), py::arg("eps"), py::arg("least_rms"),
        py::arg("clip_threshold"), py::arg("weight_decay"), py::arg("scale_parameter"),
        py::arg("grad_scale") = 1.0, py::arg("master") = none);
  m.def("quantize_blockwise", &quantize, py::arg("x"), py::arg("signed"));
  m.def("dequantize_blockwise", &dequantize, py::arg("state"), py::arg("signed"));
  m.def("sum_of_squares", &square_sum, py::arg("x"));
}

}  // namespace pyllm::bind
