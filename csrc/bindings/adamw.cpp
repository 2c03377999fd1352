#include "cpu/adamw.h"

#include "bindings/arrays.h"
#include "bindings/families.h"

namespace pyllm::bind {
namespace {

void require_fraction(double value, const char* name) {
  if (value >= 0 && value < 1) return;
  throw py::value_error(std::string(name) + ": expected 0 <= x < 1, got " + std::to_string(value));
}

void step(py::handle param_object, py::handle grad_object, py::handle m_object, py::handle v_object,
          double lr, double beta1, double beta2, double eps, double weight_decay, int64_t number,
          double grad_scale, py::handle master_object, bool decoupled) {
  const Input param(param_object, "param"), grad(grad_object, "grad");
  const Input m(m_object, "exp_avg"), v(v_object, "exp_avg_sq");
  param.require_dtype({DType::f32, DType::bf16}).require_ndim(1).require_contiguous();
  grad.require_dtype({param->dtype, DType::f32}).require_same_shape(param).require_contiguous();
  for (const Input* state : {&m, &v}) {
    state->require_dtype({DType::f32}).require_same_shape(param).require_contiguous();
  }
  const auto master = optional_input(master_object, "master");
  if (master) {
    master->require_dtype({DType::f32}).require_same_shape(param).require_contiguous();
  }
  for (const Input* written : {&param, &m, &v}) {
    if (!written->writable()) throw py::value_error(std::string(written->name()) + ": read-only");
  }
  require_fraction(beta1, "beta1"), require_fraction(beta2, "beta2");
  if (number < 1) throw py::value_error("step: counted from 1, got " + std::to_string(number));
  AdamWArgs args;
  args.param = param.view(), args.grad = grad.view();
  args.master = master ? &master->view() : nullptr;
  args.exp_avg = m->as<float>(), args.exp_avg_sq = v->as<float>();
  args.lr = lr, args.beta1 = beta1, args.beta2 = beta2, args.eps = eps;
  args.weight_decay = weight_decay, args.step = number, args.grad_scale = grad_scale;
  args.decoupled = decoupled;
  run(param->size(), [&] { adamw_step(args); });
}

}  // namespace

void bind_adamw(py::module_& m) {
  m.def("adamw_step", &step, py::arg("param"), py::arg("grad"), py::arg("exp_avg"),
        py::arg("exp_avg_sq"), py::arg("lr"), py::arg("beta1"), py::arg("beta2"), py::arg("eps"),
        py::arg("weight_decay"), py::arg("step"), py::arg("grad_scale") = 1.0,
        py::arg("master") = py::none(), py::arg("decoupled") = true);
  m.def(
      "sum_of_squares",
      [](py::handle object) {
        const Input x(object, "x");
        x.require_float().require_contiguous();
        double result = 0;
        run(x->size(), [&] { sum_of_squares(x.view(), result); });
        return result;
      },
      py::arg("x"));
}

}  // namespace pyllm::bind
