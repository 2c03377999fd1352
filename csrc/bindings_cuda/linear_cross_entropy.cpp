#include <algorithm>
#include <exception>

#include "bindings_cuda/embedded.h"
#include "bindings_cuda/families.h"
#include "bindings_cuda/gradient_buffer.h"
#include "bindings_cuda/launchers.h"
#include "bindings_cuda/loss.h"
#include "bindings_cuda/matrices.h"

namespace pyllm::bind_cuda {
namespace {

DType dtype_of_code(int32_t code) {
  return code == cuda::kFloat16 ? DType::f16 : code == cuda::kBFloat16 ? DType::bf16 : DType::f32;
}

// The launcher asks for its matrix products through a C function, and for its losses where Triton
// is preferred; what goes wrong in one waits here until the launcher has returned.
class Callbacks {
 public:
  Callbacks(Call& call, int64_t chunk_rows)
      : call_(call), lse_(embedded::preferred() ? call.workspace_of<float>(chunk_rows) : nullptr) {}

  // Null where the launcher's own kernels are to do it.
  CudaLossFunction losses() const { return lse_ != nullptr ? &losses_of : nullptr; }

  static int multiply_one(void* context, const CudaProduct* product, void*) {
    const py::gil_scoped_acquire gil;
    auto& self = *static_cast<Callbacks*>(context);
    return self.guarded([&] {
      self.run(*product);
      return cudaSuccess;
    });
  }
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  static int losses_of(void* context, const LinearCrossEntropy* args, int64_t begin, int64_t rows,
                       void* stream) {
    auto& self = *static_cast<Callbacks*>(context);
    return self.guarded([&] {
      const bool done = embedded::linear_cross_entropy_chunk(*args, begin, rows, self.lse_,
                                                             static_cast<cudaStream_t>(stream));
      return done ? cudaSuccess : cudaErrorNotSupported;
    });
  }

  template <class F>
  cudaError_t guarded(F&& f) {
    try {
      return f();
    } catch (...) {
      failure_ = std::current_exception();
      return cudaErrorInvalidValue;
    }
  }

  void run(const CudaProduct& p) {
    if (p.m == 0 || p.n == 0) return;
    if (p.k == 0) {  // of logits from no features, which start from zero
      Array zeros;
      zeros.data = p.c, zeros.dtype = dtype_of_code(p.c_dtype), zeros.ndim = 2;
      zeros.shape = {p.m, p.n}, zeros.strides = {p.c_row_stride, 1};
      call_.fill(zeros, 0);
      return;
    }
    const auto matrix = [](const void* data, int32_t dtype, int64_t rows, int64_t columns,
                           int64_t stride) {
      return Matrices{const_cast<void*>(data), dtype_of_code(dtype), rows, columns, stride, 1, 0};
    };
    Product product;
    product.a = p.a_transposed ? matrix(p.a, p.dtype, p.k, p.m, p.a_row_stride).transposed()
                               : matrix(p.a, p.dtype, p.m, p.k, p.a_row_stride);
    product.b = p.b_transposed ? matrix(p.b, p.dtype, p.n, p.k, p.b_row_stride).transposed()
                               : matrix(p.b, p.dtype, p.k, p.n, p.b_row_stride);
    product.c = matrix(p.c, p.c_dtype, p.m, p.n, p.c_row_stride);
    product.alpha = p.alpha, product.beta = p.beta;
    multiply(call_, product);
  }

  Call& call_;
  float* lse_;
  std::exception_ptr failure_;
};

// The inputs of both functions.
struct Problem {
  Call call;
  Input hidden, weight;
  std::unique_ptr<Input> bias;
  Loss loss;
  Output result;
  LinearCrossEntropy args{};

  Problem(py::handle hidden_object, py::handle weight_object, py::handle targets,
          py::handle bias_object, py::handle class_weight, int64_t ignore_index,
          double label_smoothing, double z_loss, const std::string& reduction)
      : call(hidden_object, "hidden"),
        hidden(call, hidden_object, "hidden"),
        weight(call, weight_object, "weight"),
        bias(optional_input(call, bias_object, "bias")),
        loss(call, hidden, rows(), weight.shape(0), targets, class_weight, ignore_index,
             label_smoothing, z_loss, reduction),
        result(call, hidden, loss.shape(), DType::f32) {
    if (bias) {
      bias->require_same_dtype(hidden).require_shape({weight.shape(0)});
      args.bias = read_contiguous(call, bias->view()).data;
    }
    loss.fill(args);
    const Rows states = read_rows(call, hidden.view());
    const Array weights = in_rows(weight.view());
    args.hidden = states.data, args.hidden_row_stride = states.stride;
    args.weight = weights.data, args.weight_row_stride = weights.strides[0];
    args.width = states.n;
    args.losses =
        loss.per_row() ? result.view().as<float>() : call.workspace_of<float>(loss.rows());
    args.gradient_dtype = args.dtype, args.grad_scale = 1.0f;
    args.mean = loss.mean();
    // At most 64 MiB of logits, and rows enough to keep the products busy; in sixteens, so that the
    // losses of every chunk start on a multiple of 16 bytes.
    constexpr int64_t kLogits = int64_t{64} << 18, kLeastRows = 256;
    args.logits_row_stride = (args.n + 7) / 8 * 8;
    args.chunk_rows = std::clamp<int64_t>(kLogits / std::max<int64_t>(args.logits_row_stride, 1),
                                          kLeastRows, std::max<int64_t>(args.rows, kLeastRows));
    if (args.chunk_rows < args.rows) args.chunk_rows = args.chunk_rows / 16 * 16;
    args.chunk_rows = std::max<int64_t>(1, std::min(args.chunk_rows, args.rows));
    args.logits = call.workspace_of<float>(args.chunk_rows * args.logits_row_stride);
    args.scales = call.workspace_of<float>(3);
  }

  // Leading axes of hidden, checked together with the features of weight.
  std::span<const int64_t> rows() const {
    require_kernel_float(hidden);
    weight.require_same_dtype(hidden).require_ndim(2);
    if (hidden->ndim == 0 || hidden->shape[hidden->ndim - 1] != weight.shape(1)) {
      bind::fail_value("hidden", "expected " + std::to_string(weight.shape(1)) +
                                     " features along the last axis, as weight of shape " +
                                     bind::shape_string(weight.shape()) + " has, got shape " +
                                     bind::shape_string(hidden.shape()));
    }
    return hidden.shape().first(static_cast<size_t>(hidden->ndim - 1));
  }

  // A gradient must not land on what is still to be read.
  void require_apart(const Output& out) const {
    bind::require_no_overlap(out.view(), hidden, false);
    bind::require_no_overlap(out.view(), weight, false);
    if (bias) bind::require_no_overlap(out.view(), *bias, false);
  }

  void run() {
    Callbacks callbacks(call, args.chunk_rows);
    cudaError_t error;
    {
      const py::gil_scoped_release release;
      error = pyllm_cuda_linear_cross_entropy(&args, &Callbacks::multiply_one, callbacks.losses(),
                                              &callbacks, call.stream().handle());
    }
    callbacks.rethrow();
    check(error, "launching a kernel");
    if (!loss.per_row()) loss.reduce(call, args.losses, result.view().as<float>());
  }

 private:
  // Columns next to one another, rows at least as far apart as they are long.
  Array in_rows(const Array& a) {
    const bool fits =
        (a.strides[1] == 1 || a.shape[1] <= 1) && (a.strides[0] >= a.shape[1] || a.shape[0] <= 1);
    Array rows = a;
    if (!fits) {
      rows = workspace_like(call, a);
      call.copy(a, rows);
    }
    if (rows.shape[0] <= 1) rows.strides[0] = std::max<int64_t>(rows.shape[1], 1);
    return rows;
  }
};

py::object forward(py::handle hidden, py::handle weight, py::handle targets, py::handle bias,
                   py::handle class_weight, int64_t ignore_index, double label_smoothing,
                   double z_loss, const std::string& reduction) {
  Problem p(hidden, weight, targets, bias, class_weight, ignore_index, label_smoothing, z_loss,
            reduction);
  p.run();
  p.call.finish();
  return p.result.object();
}

py::object forward_backward(py::handle hidden, py::handle weight, py::handle targets,
                            py::handle bias, py::handle class_weight, int64_t ignore_index,
                            double label_smoothing, double z_loss, const std::string& reduction,
                            py::handle dhidden_out, py::handle dweight_out, py::handle dbias_out,
                            bool accumulate, double grad_scale) {
  Problem p(hidden, weight, targets, bias, class_weight, ignore_index, label_smoothing, z_loss,
            reduction);
  const int64_t classes = p.weight.shape(0), width = p.weight.shape(1);
  const Output dhidden = Output::like(p.call, p.hidden, dhidden_out, "dhidden_out");
  const Output dweight =
      gradient_buffer(p.call, p.weight, dweight_out, {classes, width}, "dweight_out", accumulate);
  p.require_apart(dhidden);
  p.require_apart(dweight);
  if (!dweight.view().is_contiguous()) {
    bind::fail_value("dweight_out", "expected a C-contiguous array");
  }
  const RowsToWrite to(p.call, dhidden.view());
  p.args.dhidden = to.rows().data, p.args.dhidden_row_stride = to.rows().stride;
  p.args.dweight = dweight.view().data;
  p.args.gradient_dtype = code_of(dweight.view().dtype);
  p.args.accumulate = accumulate, p.args.grad_scale = static_cast<float>(grad_scale);
  Output dbias;
  if (p.bias) {
    dbias = gradient_buffer(p.call, *p.bias, dbias_out, {classes}, "dbias_out", accumulate);
    p.require_apart(dbias);
    if (dbias.view().dtype != dweight.view().dtype || !dbias.view().is_contiguous()) {
      bind::fail_value("dbias_out", "expected a contiguous array of the dtype of dweight_out");
    }
    p.args.dbias = dbias.view().data;
    p.args.dbias_sums = p.call.workspace_of<float>(classes);
  }
  p.args.sums = p.call.workspace_of<float>(classes * width);
  p.run();
  to.finish(p.call);
  p.call.finish();
  return py::make_tuple(p.result.object(), dhidden.object(), dweight.object(), dbias.object());
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

}  // namespace pyllm::bind_cuda
