#include "cpu/trees/objective.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "bindings/arrays.h"
#include "bindings/families.h"
#include "core/parallel.h"
#include "cpu/trees/leaves.h"
#include "cpu/trees/row_sampling.h"

namespace pyllm::bind {
namespace {

template <class T>
T choose(const std::map<std::string, T>& choices, const std::string& value, const char* name) {
  const auto found = choices.find(value);
  if (found != choices.end()) return found->second;
  std::string known;
  for (const auto& [key, unused] : choices) known += (known.empty() ? "" : ", ") + key;
  throw py::value_error(std::string(name) + ": expected one of " + known + ", got '" + value + "'");
}

const Argument& require_vector(const Input& in, DType dtype, int64_t n) {
  return in.require_dtype({dtype}).require_shape({n}).require_contiguous();
}

// Throws unless every element lies in [low, high).
void require_range(const Input& in, int64_t low, int64_t high) {
  const int32_t* p = in->as<int32_t>();
  int32_t least = in->size() > 0 ? p[0] : 0, most = least;
  std::mutex mutex;
  parallel_for(in->size(), 1 << 16, [&](int64_t begin, int64_t end) {
    int32_t own_least = p[begin], own_most = p[begin];
    for (int64_t i = begin; i < end; ++i) {
      own_least = std::min(own_least, p[i]);
      own_most = std::max(own_most, p[i]);
    }
    const std::lock_guard lock(mutex);
    least = std::min(least, own_least);
    most = std::max(most, own_most);
  });
  if (in->size() > 0 && (least < low || most >= high)) {
    throw py::value_error(std::string(in.name()) + ": expected " + std::to_string(low) +
                          " <= value < " + std::to_string(high) + ", got " +
                          std::to_string(least < low ? least : most));
  }
}

const double* weights(const std::unique_ptr<Input>& weight, int64_t n) {
  return weight ? require_vector(*weight, DType::f64, n)->as<double>() : nullptr;
}

// gradient and hessian: float32 arrays of the caller's, written in place.
void require_result(const Input& result, std::span<const int64_t> shape) {
  result.require_dtype({DType::f32}).require_shape(shape).require_contiguous();
  if (!result.writable()) throw py::value_error(std::string(result.name()) + ": is read-only");
}

void row_derivatives(const std::string& loss, double parameter, py::handle margin_object,
                     py::handle target_object, py::handle weight_object, py::handle gradient_object,
                     py::handle hessian_object) {
  const Input margin(margin_object, "margin"), target(target_object, "target");
  const Input gradient(gradient_object, "gradient"), hessian(hessian_object, "hessian");
  const auto weight = optional_input(weight_object, "weight");
  margin.require_ndim(1).require_dtype({DType::f64}).require_contiguous();
  const int64_t n = margin.shape(0);
  require_vector(target, DType::f64, n);
  require_result(gradient, margin.shape());
  require_result(hessian, margin.shape());
  RowGradientArgs args;
  args.loss = choose<RowLossKind>({{"squared", RowLossKind::squared},
                                   {"absolute", RowLossKind::absolute},
                                   {"huber", RowLossKind::huber},
                                   {"quantile", RowLossKind::quantile},
                                   {"poisson", RowLossKind::poisson},
                                   {"gamma", RowLossKind::gamma},
                                   {"tweedie", RowLossKind::tweedie},
                                   {"logistic", RowLossKind::logistic}},
                                  loss, "loss");
  args.parameter = parameter;
  args.margin = margin->as<double>();
  args.target = target->as<double>();
  args.weight = weights(weight, n);
  args.gradient = gradient->as<float>();
  args.hessian = hessian->as<float>();
  args.n = n;
  run(n, [&] { row_gradient(args); });
}

void softmax_derivatives(py::handle margin_object, py::handle target_object,
                         py::handle weight_object, py::handle gradient_object,
                         py::handle hessian_object) {
  const Input margin(margin_object, "margin"), target(target_object, "target");
  const Input gradient(gradient_object, "gradient"), hessian(hessian_object, "hessian");
  const auto weight = optional_input(weight_object, "weight");
  margin.require_ndim(2).require_dtype({DType::f64}).require_contiguous();
  const int64_t n = margin.shape(1);
  require_vector(target, DType::i32, n);
  require_range(target, 0, margin.shape(0));
  require_result(gradient, margin.shape());
  require_result(hessian, margin.shape());
  SoftmaxGradientArgs args;
  args.margin = margin->as<double>();
  args.target = target->as<int32_t>();
  args.weight = weights(weight, n);
  args.gradient = gradient->as<float>();
  args.hessian = hessian->as<float>();
  args.n = n;
  args.classes = margin.shape(0);
  run(margin->size(), [&] { softmax_gradient(args); });
}

void rank_derivatives(const std::string& gain, py::handle margin_object,
                      py::handle relevance_object, py::handle offset_object,
                      py::handle weight_object, py::handle gradient_object,
                      py::handle hessian_object, double sigmoid, int64_t truncation,
                      bool normalize) {
  const Input margin(margin_object, "margin"), relevance(relevance_object, "relevance");
  const Input offset(offset_object, "query_offset");
  const Input gradient(gradient_object, "gradient"), hessian(hessian_object, "hessian");
  const auto weight = optional_input(weight_object, "query_weight");
  margin.require_ndim(1).require_dtype({DType::f64}).require_contiguous();
  const int64_t n = margin.shape(0);
  require_vector(relevance, DType::f64, n);
  for (int64_t i = 0; i < n; ++i) {
    if (!(relevance->as<double>()[i] >= 0.0 && relevance->as<double>()[i] <= 60.0)) {
      throw py::value_error("relevance: expected 0 <= value <= 60, got " +
                            std::to_string(relevance->as<double>()[i]));
    }
  }
  offset.require_ndim(1).require_dtype({DType::i64}).require_contiguous();
  const int64_t* offsets = offset->as<int64_t>();
  const int64_t queries = offset.shape(0) - 1;
  if (queries < 0 || offsets[0] != 0 || offsets[queries] != n ||
      !std::is_sorted(offsets, offsets + queries + 1)) {
    throw py::value_error("query_offset: expected to rise from 0 to the number of rows, " +
                          std::to_string(n));
  }
  if (truncation < 1) {
    throw py::value_error("truncation: expected at least 1, got " + std::to_string(truncation));
  }
  require_result(gradient, margin.shape());
  require_result(hessian, margin.shape());
  RankGradientArgs args;
  args.gain = choose<RankGain>({{"ndcg", RankGain::ndcg}, {"map", RankGain::map}}, gain, "gain");
  args.margin = margin->as<double>();
  args.relevance = relevance->as<double>();
  args.query_offset = offsets;
  args.query_weight = weights(weight, queries);
  args.gradient = gradient->as<float>();
  args.hessian = hessian->as<float>();
  args.queries = queries;
  args.sigmoid = sigmoid;
  args.truncation = truncation;
  args.normalize = normalize;
  run(n, [&] { rank_gradient(args); });
}

void add_values(py::handle margin_object, py::handle leaf_object, py::handle value_object) {
  const Input margin(margin_object, "margin"), leaf(leaf_object, "leaf");
  const Input value(value_object, "value");
  margin.require_ndim(1).require_dtype({DType::f64}).require_contiguous();
  if (!margin.writable()) throw py::value_error("margin: is read-only");
  require_vector(leaf, DType::i32, margin.shape(0));
  value.require_ndim(1).require_dtype({DType::f64}).require_contiguous();
  require_range(leaf, 0, value.shape(0));
  const AddLeafValuesArgs args{margin->as<double>(), leaf->as<int32_t>(), value->as<double>(),
                               margin.shape(0)};
  run(args.n, [&] { add_leaf_values(args); });
}

py::object quantiles(py::handle x_object, py::handle leaf_object, int64_t nodes, double level,
                     py::handle weight_object, py::handle rows_object) {
  const Input x(x_object, "x"), leaf(leaf_object, "leaf");
  const auto weight = optional_input(weight_object, "weight");
  const auto rows = optional_input(rows_object, "rows");
  x.require_ndim(1).require_dtype({DType::f64}).require_contiguous();
  require_vector(leaf, DType::i32, x.shape(0));
  require_range(leaf, 0, nodes);
  if (!(level >= 0.0 && level <= 1.0)) {
    throw py::value_error("level: expected 0 <= level <= 1, got " + std::to_string(level));
  }
  LeafQuantilesArgs args;
  args.x = x->as<double>();
  args.leaf = leaf->as<int32_t>();
  args.weight = weights(weight, x.shape(0));
  args.n = x.shape(0);
  if (rows) {
    rows->require_ndim(1).require_dtype({DType::i32}).require_contiguous();
    require_range(*rows, 0, x.shape(0));
    args.rows = rows->view().as<int32_t>();
    args.n = rows->shape(0);
  }
  args.nodes = nodes;
  args.level = level;
  const Output out = make_output(x, {nodes}, DType::f64);
  args.quantile = out.view.as<double>();
  run(args.n, [&] { leaf_quantiles(args); });
  return out.object;
}

py::array_t<int32_t> as_array(const std::vector<int32_t>& rows) {
  return py::array_t<int32_t>(static_cast<py::ssize_t>(rows.size()), rows.data());
}

void require_fraction(double value, const char* name) {
  if (!(value >= 0.0 && value <= 1.0)) {
    throw py::value_error(std::string(name) + ": expected 0 <= " + name + " <= 1, got " +
                          std::to_string(value));
  }
}

py::array_t<int32_t> sampled_rows(int64_t n, double fraction, uint64_t seed, uint64_t stream) {
  require_fraction(fraction, "fraction");
  if (n < 0 || n > INT32_MAX) throw py::value_error("n: expected 0 <= n < 2^31");
  std::vector<int32_t> rows;
  run(n, [&] { rows = sample_rows(n, fraction, seed, stream); });
  return as_array(rows);
}

py::array_t<int32_t> goss_rows(py::handle gradient_object, py::handle hessian_object,
                               double top_rate, double other_rate, uint64_t seed, uint64_t stream) {
  const Input gradient(gradient_object, "gradient"), hessian(hessian_object, "hessian");
  gradient.require_ndim(2);
  require_result(gradient, gradient.shape());
  require_result(hessian, gradient.shape());
  require_fraction(top_rate, "top_rate");
  require_fraction(other_rate, "other_rate");
  if (!(other_rate > 0.0) || top_rate + other_rate > 1.0) {
    throw py::value_error("other_rate: expected 0 < other_rate <= 1 - top_rate, got " +
                          std::to_string(other_rate));
  }
  const GossArgs args{gradient->as<float>(),
                      hessian->as<float>(),
                      gradient.shape(1),
                      gradient.shape(0),
                      top_rate,
                      other_rate,
                      seed,
                      stream};
  std::vector<int32_t> rows;
  run(args.n, [&] { rows = goss(args); });
  return as_array(rows);
}

}  // namespace

void bind_tree_objectives(py::module_& m) {
  const auto none = py::none();
  m.def("tree_row_gradient", &row_derivatives, py::arg("loss"), py::arg("parameter"),
        py::arg("margin"), py::arg("target"), py::arg("weight"), py::arg("gradient"),
        py::arg("hessian"));
  m.def("tree_softmax_gradient", &softmax_derivatives, py::arg("margin"), py::arg("target"),
        py::arg("weight"), py::arg("gradient"), py::arg("hessian"));
  m.def("tree_rank_gradient", &rank_derivatives, py::arg("gain"), py::arg("margin"),
        py::arg("relevance"), py::arg("query_offset"), py::arg("query_weight"), py::arg("gradient"),
        py::arg("hessian"), py::arg("sigmoid"), py::arg("truncation"), py::arg("normalize"));
  m.def("tree_add_leaf_values", &add_values, py::arg("margin"), py::arg("leaf"), py::arg("value"));
  m.def("tree_leaf_quantiles", &quantiles, py::arg("x"), py::arg("leaf"), py::arg("nodes"),
        py::arg("level"), py::arg("weight") = none, py::arg("rows") = none);
  m.def("tree_sample_rows", &sampled_rows, py::arg("n"), py::arg("fraction"), py::arg("seed"),
        py::arg("stream"));
  m.def("tree_goss", &goss_rows, py::arg("gradient"), py::arg("hessian"), py::arg("top_rate"),
        py::arg("other_rate"), py::arg("seed"), py::arg("stream"));
}

}  // namespace pyllm::bind
