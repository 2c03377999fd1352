// Derivatives of the losses of boosting and what a tree adds to margins, under the signatures of
// pyllm._cpu.
#include <array>

#include "bindings/named.h"
#include "bindings_cuda/arrays.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/tree_launchers.h"

namespace pyllm::bind_cuda {
namespace {

constexpr std::array kLosses = {
    bind::Named<int32_t>{"squared", kTreeSquared}, bind::Named<int32_t>{"absolute", kTreeAbsolute},
    bind::Named<int32_t>{"huber", kTreeHuber},     bind::Named<int32_t>{"quantile", kTreeQuantile},
    bind::Named<int32_t>{"poisson", kTreePoisson}, bind::Named<int32_t>{"gamma", kTreeGamma},
    bind::Named<int32_t>{"tweedie", kTreeTweedie}, bind::Named<int32_t>{"logistic", kTreeLogistic}};

const Argument& require_vector(const Input& in, DType dtype, int64_t n) {
  return in.require_dtype({dtype}).require_shape({n}).require_contiguous();
}

float* result(const Input& array, const Input& margin) {
  array.require_dtype({DType::f32}).require_same_shape(margin).require_contiguous();
  return array.require_writable()->as<float>();
}

void row_derivatives(std::string_view loss, double parameter, py::handle margin_object,
                     py::handle target_object, py::handle weight_object, py::handle gradient_object,
                     py::handle hessian_object) {
  Call call(margin_object, "margin");
  const Input margin(call, margin_object, "margin"), target(call, target_object, "target");
  const Input gradient(call, gradient_object, "gradient"), hessian(call, hessian_object, "hessian");
  const auto weight = optional_input(call, weight_object, "weight");
  margin.require_ndim(1).require_dtype({DType::f64}).require_contiguous();
  TreeDerivatives args{};
  args.loss = find_op(kLosses, loss), args.parameter = parameter;
  args.rows = margin.shape(0);
  args.margin = margin->as<double>();
  args.target = require_vector(target, DType::f64, args.rows)->as<double>();
  if (weight) args.weight = require_vector(*weight, DType::f64, args.rows)->as<double>();
  args.gradient = result(gradient, margin), args.hessian = result(hessian, margin);
  call.launch(&pyllm_cuda_tree_derivatives, args);
  call.finish();
}

void softmax_derivatives(py::handle margin_object, py::handle target_object,
                         py::handle weight_object, py::handle gradient_object,
                         py::handle hessian_object) {
  Call call(margin_object, "margin");
  const Input margin(call, margin_object, "margin"), target(call, target_object, "target");
  const Input gradient(call, gradient_object, "gradient"), hessian(call, hessian_object, "hessian");
  const auto weight = optional_input(call, weight_object, "weight");
  margin.require_ndim(2).require_dtype({DType::f64}).require_contiguous();
  TreeSoftmaxDerivatives args{};
  args.classes = margin.shape(0), args.rows = margin.shape(1);
  args.margin = margin->as<double>();
  args.target = require_vector(target, DType::i32, args.rows)->as<int32_t>();
  if (weight) args.weight = require_vector(*weight, DType::f64, args.rows)->as<double>();
  args.gradient = result(gradient, margin), args.hessian = result(hessian, margin);
  call.launch(&pyllm_cuda_tree_softmax_derivatives, args);
  call.finish();
}

void add_values(py::handle margin_object, py::handle leaf_object, py::handle value_object) {
  Call call(margin_object, "margin");
  const Input margin(call, margin_object, "margin"), leaf(call, leaf_object, "leaf");
  const Input value(call, value_object, "value");
  margin.require_ndim(1).require_dtype({DType::f64}).require_contiguous();
  TreeAddLeafValues args{};
  args.rows = margin.shape(0), args.nodes = value.require_ndim(1)->shape[0];
  args.margin = margin.require_writable()->as<double>();
  args.leaf = require_vector(leaf, DType::i32, args.rows)->as<int32_t>();
  args.value = require_vector(value, DType::f64, args.nodes)->as<double>();
  call.launch(&pyllm_cuda_tree_add_leaf_values, args);
  call.finish();
}

}  // namespace

void bind_tree_objectives(py::module_& m) {
  m.def("tree_row_gradient", &row_derivatives, py::arg("loss"), py::arg("parameter"),
        py::arg("margin"), py::arg("target"), py::arg("weight"), py::arg("gradient"),
        py::arg("hessian"));
  m.def("tree_softmax_gradient", &softmax_derivatives, py::arg("margin"), py::arg("target"),
        py::arg("weight"), py::arg("gradient"), py::arg("hessian"));
  m.def("tree_add_leaf_values", &add_values, py::arg("margin"), py::arg("leaf"), py::arg("value"));
}

}  // namespace pyllm::bind_cuda
