#include "cpu/linear_cross_entropy.h"

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "bindings/gradient_buffer.h"
#include "bindings/loss_options.h"

namespace pyllm::bind {
namespace {

// The inputs of both functions.
struct Problem {
  Input hidden, weight;
  std::unique_ptr<Input> bias;
  LossOptions options;
  Output loss;

  Problem(py::handle hidden_object, py::handle weight_object, py::handle targets,
          py::handle bias_object, py::handle class_weight, int64_t ignore_index,
          double label_smoothing, double z_loss, const std::string& reduction)
      : hidden(hidden_object, "hidden"),
        weight(weight_object, "weight"),
        bias(optional_input(bias_object, "bias")),
        options(targets, rows(), weight.shape(0), class_weight, hidden, ignore_index,
                label_smoothing, z_loss, reduction),
        loss(make_output(hidden, options.loss_shape(), loss_dtype(hidden->dtype))) {
    if (bias) bias->require_same_dtype(hidden).require_shape({weight.shape(0)});
  }

  // Leading axes of hidden, checked together with the features of weight.
  std::span<const int64_t> rows() const {
    hidden.require_float();
    weight.require_same_dtype(hidden).require_ndim(2);
    if (hidden->ndim == 0 || hidden->shape[hidden->ndim - 1] != weight.shape(1)) {
      throw py::value_error("hidden: expected " + std::to_string(weight.shape(1)) +
                            " features along the last axis, as weight of shape " +
                            shape_string(weight.shape()) + " has, got shape " +
                            shape_string(hidden.shape()));
    }
    return hidden.shape().first(hidden->ndim - 1);
  }

  LinearCrossEntropyArgs args() const {
    LinearCrossEntropyArgs a;
    a.hidden = hidden.view(), a.weight = weight.view(), a.loss = loss.view;
    if (bias) a.bias = &bias->view();
    a.options = options.options();
    return a;
  }

  // A gradient must not land on what is still to be read.
  void require_apart(const Output& out) const {
    require_no_overlap(out.view, hidden, false);
    require_no_overlap(out.view, weight, false);
    if (bias) require_no_overlap(out.view, *bias, false);
  }
};

py::object forward(py::handle hidden, py::handle weight, py::handle targets, py::handle bias,
                   py::handle class_weight, int64_t ignore_index, double label_smoothing,
                   double z_loss, const std::string& reduction) {
  const Problem p(hidden, weight, targets, bias, class_weight, ignore_index, label_smoothing,
                  z_loss, reduction);
  run(p.hidden->size() + p.weight->size(), [&] { linear_cross_entropy(p.args()); });
  return p.loss.object;
}

py::object forward_backward(py::handle hidden, py::handle weight, py::handle targets,
                            py::handle bias, py::handle class_weight, int64_t ignore_index,
                            double label_smoothing, double z_loss, const std::string& reduction,
                            py::handle dhidden_out, py::handle dweight_out, py::handle dbias_out,
                            bool accumulate, double grad_scale) {
  const Problem p(hidden, weight, targets, bias, class_weight, ignore_index, label_smoothing,
                  z_loss, reduction);
  LinearCrossEntropyArgs args = p.args();
  args.gradients = true;
  args.accumulate = accumulate;
  args.grad_scale = grad_scale;
  const Output dhidden =
      make_output(p.hidden, dhidden_out, p.hidden.shape(), p.hidden->dtype, "dhidden_out");
  const Output dweight = gradient_buffer(
      p.weight, dweight_out, {p.weight.shape(0), p.weight.shape(1)}, "dweight_out", accumulate);
  p.require_apart(dhidden);
  p.require_apart(dweight);
  args.dhidden = dhidden.view, args.dweight = dweight.view;
  Output dbias;
  dbias.object = py::none();
  if (p.bias) {
    dbias = gradient_buffer(*p.bias, dbias_out, {p.weight.shape(0)}, "dbias_out", accumulate);
    p.require_apart(dbias);
    args.dbias = &dbias.view;
  }
  run(p.hidden->size() + p.weight->size(), [&] { linear_cross_entropy(args); });
  return py::make_tuple(p.loss.object, dhidden.object, dweight.object, dbias.object);
}

}  // namespace

void bind_linear_cross_entropy(py::module_& m) {
  const auto none = py::none();
  m.def("linear_cross_entropy", &forward, py::arg("hidden"), py::arg("weight"), py::arg("targets"),
        py::arg("bias") = none, py::arg("class_weight") = none, py::arg("ignore_index") = -100,
        py::arg("label_smoothing") = 0.0, py::arg("z_loss") = 0.0, py::arg("reduction") = "mean");
  m.def("linear_cross_entropy_forward_backward", &forward_backward, py::arg("hidden"),
        py::arg("weight"), py::arg("targets"), py::arg("bias") = none,
        py::arg("class_weight") = none, py::arg("ignore_index") = -100,
        py::arg("label_smoothing") = 0.0, py::arg("z_loss") = 0.0, py::arg("reduction") = "mean",
        py::arg("dhidden_out") = none, py::arg("dweight_out") = none, py::arg("dbias_out") = none,
        py::arg("accumulate") = false, py::arg("grad_scale") = 1.0);
}

}  // namespace pyllm::bind
