// Data sets for trees under the signatures of pyllm._cpu; codes are all of one byte, or all of two.
#include "bindings_cuda/device_bins.h"

#include <pybind11/stl.h>

#include <algorithm>

#include "bindings_cuda/families.h"
#include "bindings_cuda/staging.h"
#include "bindings_cuda/tree_launchers.h"

namespace pyllm::bind_cuda {
namespace {

constexpr int32_t kNarrowBins = 255;
// Codes of a feature: their sums of 64 bits must fit shared memory (tree_histogram.h).
constexpr int32_t kMostCodes = 10000;
// 48 KiB of sums: enough blocks share a multiprocessor.
constexpr int64_t kGroupBins = 6144;

DeviceCodes make_codes(const DeviceArray& narrow_by_row, const DeviceArray& narrow_by_column,
                       const DeviceArray& wide_by_row, const DeviceArray& wide_by_column) {
  const bool wide = wide_by_column.view.ndim == 2 && wide_by_column.view.shape[0] > 0;
  DeviceCodes codes{wide ? wide_by_row : narrow_by_row, wide ? wide_by_column : narrow_by_column};
  const Array &rows = codes.by_row.view, &columns = codes.by_column.view;
  const DType dtype = wide ? DType::u16 : DType::u8;
  if (rows.dtype != dtype || columns.dtype != dtype || rows.ndim != 2 || columns.ndim != 2 ||
      !rows.is_contiguous() || !columns.is_contiguous() || rows.shape[0] != columns.shape[1] ||
      columns.shape[0] > rows.shape[1] || !codes.by_row.writable || !codes.by_column.writable) {
    throw py::value_error("codes: expected both layouts of one matrix, of one byte or of two");
  }
  if (wide && narrow_by_column.view.ndim == 2 && narrow_by_column.view.shape[0] > 0) {
    throw py::value_error("codes: on a device they are all of one byte or all of two");
  }
  return codes;
}

std::vector<bool> bin(py::handle x_object, const std::vector<std::vector<double>>& cuts,
                      const std::vector<bool>& wide, const std::vector<int32_t>& columns,
                      int64_t first, const DeviceCodes& codes) {
  Call call(x_object, "x");
  const Input x(call, x_object, "x");
  x.require_dtype({DType::f32, DType::f64}).require_ndim(2);
  const Input by_row(call, py::cast(codes.by_row), "codes");
  const auto features = static_cast<size_t>(codes.features());
  if (static_cast<size_t>(x.shape(1)) != features || cuts.size() != features ||
      wide.size() != features || columns.size() != features) {
    throw py::value_error("cuts: expected one entry a feature");
  }
  if (first < 0 || x.shape(0) > codes.rows() - first) throw py::value_error("first: out of range");
  std::vector<double> all;
  std::vector<int64_t> offset{0};
  for (size_t f = 0; f < features; ++f) {
    if (wide[f] != codes.wide() || columns[f] != static_cast<int32_t>(f)) {
      throw py::value_error("columns: on a device codes have the order of features");
    }
    if (static_cast<int32_t>(cuts[f].size()) + 2 > (codes.wide() ? kMostCodes : kNarrowBins + 1)) {
      throw py::value_error("cuts: too many");
    }
    all.insert(all.end(), cuts[f].begin(), cuts[f].end());
    offset.push_back(static_cast<int64_t>(all.size()));
  }
  TreeBins args{};
  Upload upload;
  upload.add(args.cuts, all);
  upload.add(args.cut_offset, offset);
  const uint32_t* seen = nullptr;
  upload.add(seen, std::vector<uint32_t>(features));
  upload.send(call.stream());
  const auto item = static_cast<int64_t>(size_of(codes.by_row.view.dtype));
  args.x = x->data, args.x_row_stride = x->strides[0], args.x_column_stride = x->strides[1];
  args.by_row_stride = codes.by_row.view.shape[1], args.by_column_stride = codes.rows();
  args.by_row = codes.by_row.view.as<char>() + first * args.by_row_stride * item;
  args.by_column = codes.by_column.view.as<char>() + first * item;
  args.missing = const_cast<uint32_t*>(seen);
  args.rows = x.shape(0), args.features = codes.features();
  args.x_float64 = x->dtype == DType::f64, args.wide = codes.wide();
  call.launch(&pyllm_cuda_tree_bins, args);
  std::vector<uint32_t> missing(features);
  call.finish();
  {
    const py::gil_scoped_release release;
    check(cudaMemcpyAsync(missing.data(), seen, features * sizeof(uint32_t), cudaMemcpyDeviceToHost,
                          call.stream().handle()),
          "copying from the device");
    check(cudaStreamSynchronize(call.stream().handle()), "waiting for the device");
  }
  return {missing.begin(), missing.end()};
}

FeatureGroups group(const std::vector<int32_t>& offset, int64_t most_bins) {
  const auto features = static_cast<int64_t>(offset.size()) - 1;
  const auto most_of = [&](int64_t size) {
    int64_t most = 0;
    for (int64_t f = 0; f < features; f += size) {
      most = std::max<int64_t>(most, offset[std::min(f + size, features)] - offset[f]);
    }
    return most;
  };
  FeatureGroups groups{1, most_of(1)};
  for (int64_t size = 2; size <= features; ++size) {
    const int64_t most = most_of(size);
    if (most > most_bins) break;
    groups = {size, most};
  }
  return groups;
}

DeviceBins make_bins(const DeviceCodes& codes, const std::vector<int32_t>& bins,
                     const std::vector<bool>& missing, const std::vector<bool>& categorical,
                     const std::vector<bool>& wide, const std::vector<int32_t>& columns) {
  const size_t n = bins.size();
  if (static_cast<size_t>(codes.features()) != n || missing.size() != n ||
      categorical.size() != n || wide.size() != n || columns.size() != n) {
    throw py::value_error("bins: expected one entry a feature");
  }
  DeviceBins made;
  made.codes = codes;
  std::vector<int32_t> offset{0};
  std::vector<uint8_t> has_missing(missing.begin(), missing.end());
  int32_t narrow_features = 0, wide_features = 0;
  for (size_t f = 0; f < n; ++f) {
    if (categorical[f]) throw py::value_error("categorical: is not supported on a device");
    if (bins[f] < 1 || bins[f] >= (codes.wide() ? kMostCodes : kNarrowBins + 1)) {
      throw py::value_error("bins: out of range for feature " + std::to_string(f));
    }
    trees::Feature feature;
    feature.bins = bins[f];
    feature.missing = missing[f];
    feature.wide = bins[f] > kNarrowBins;
    feature.column = feature.wide ? wide_features++ : narrow_features++;
    feature.offset = static_cast<int32_t>(made.total);
    made.total += feature.codes();
    if (made.total > INT32_MAX) throw py::value_error("bins: too many in all");
    offset.push_back(static_cast<int32_t>(made.total));
    made.features.push_back(feature);
  }
  made.groups = group(offset, kGroupBins);
  made.wide_groups = group(offset, kGroupBins / 2);
  const Stream& stream = codes.by_row.stream;
  const DeviceGuard guard(stream.device);
  Upload upload;
  upload.add(made.bin_offset, offset);
  upload.add(made.has_missing, has_missing);
  upload.send(stream);
  made.tables = upload.memory();
  return made;
}

}  // namespace

void bind_tree_bins(py::module_& m) {
  py::class_<DeviceCodes>(m, "TreeCodes", py::module_local())
      .def(py::init(&make_codes), py::arg("narrow_by_row"), py::arg("narrow_by_column"),
           py::arg("wide_by_row"), py::arg("wide_by_column"));
  py::class_<DeviceBins>(m, "TreeBins", py::module_local())
      .def(py::init(&make_bins), py::arg("codes"), py::arg("bins"), py::arg("missing"),
           py::arg("categorical"), py::arg("wide"), py::arg("columns"));
  m.def("tree_bin", &bin, py::arg("x"), py::arg("cuts"), py::arg("wide"), py::arg("columns"),
        py::arg("first"), py::arg("codes"));
}

}  // namespace pyllm::bind_cuda
