// A libcublasLt.so for tests: checks what the real one demands of descriptors and layouts, and
// multiplies on the host, in float32 from k = 0 up. Matrices are by columns.
//
// emu_cublaslt_log() gives the products since the last call, one a line:
//   m n k, operations, types, leading dimensions, batch, epilogue, beta
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

namespace {

constexpr int kSuccess = 0, kInvalidValue = 7, kNotSupported = 15;
constexpr int kF32 = 0, kF16 = 2, kBF16 = 14;

struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t leading;
  int32_t batch = 1;
  int64_t batch_stride = 0;
};
struct Descriptor {
  int32_t transpose[2] = {0, 0};
  uint32_t epilogue = 1;
  int32_t pointer_mode = 0;  // factors on the host, or (1) on the device
  const void* bias = nullptr;
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of a, b, c, d
};
struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
constexpr uint64_t kMark = 0x70796C6C6D;  // an algorithm that this library has chosen
constexpr size_t kWorkspace = 1024;

std::string lines;
int heuristics = 0, alive = 0;

float widen(const void* p, int type, int64_t i) {
  if (type == kF32) return static_cast<const float*>(p)[i];
  const uint16_t bits = static_cast<const uint16_t*>(p)[i];
  if (type == kF16) {
    _Float16 half;
    std::memcpy(&half, &bits, 2);
    return static_cast<float>(half);
  }
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

void narrow(void* p, int type, int64_t i, float x) {
  if (type == kF32) {
    static_cast<float*>(p)[i] = x;
    return;
  }
  uint16_t bits;
  if (type == kF16) {
    const auto half = static_cast<_Float16>(x);
    std::memcpy(&bits, &half, 2);
  } else {
    uint32_t wide;
    std::memcpy(&wide, &x, 4);
    bits = x != x ? 0x7FFF : static_cast<uint16_t>((wide + 0x7FFF + (wide >> 16 & 1)) >> 16);
  }
  static_cast<uint16_t*>(p)[i] = bits;
}

float apply(uint32_t epilogue, float x) {
  if (epilogue & 2) return x > 0 || x != x ? x : 0.0f;
  if (epilogue & 32) {
    return 0.5f * x * (1.0f + std::tanh(0.7978845608028654f * (x + 0.044715f * x * x * x)));
  }
  return x;
}

struct Shape {
  int64_t m, n, k;
};

// The sizes of a product, or an error where operands do not fit one another.
int sizes(const Descriptor& d, const Layout& a, const Layout& b, const Layout& c, Shape& s) {
  s.m = d.transpose[0] ? a.columns : a.rows;
  s.k = d.transpose[0] ? a.rows : a.columns;
  s.n = d.transpose[1] ? b.rows : b.columns;
  const int64_t inner = d.transpose[1] ? b.columns : b.rows;
  if (inner != s.k || int64_t(c.rows) != s.m || int64_t(c.columns) != s.n) return kInvalidValue;
  if (a.type != b.type || (c.type != a.type && c.type != kF32)) return kNotSupported;
  if (a.batch != b.batch || a.batch != c.batch) return kInvalidValue;
  if (s.m < 1 || s.n < 1 || s.k < 1) return kInvalidValue;
  return kSuccess;
}

template <class T>
int destroy(void* p) {
  if (p == nullptr) return kInvalidValue;
  --alive;
  delete static_cast<T*>(p);
  return kSuccess;
}

}  // namespace

extern "C" {
size_t cublasLtGetVersion() {
  return 130001;
}
const char* cublasLtGetStatusString(int status) {
  return status == kNotSupported ? "CUBLAS_STATUS_NOT_SUPPORTED" : "CUBLAS_STATUS_INVALID_VALUE";
}
int cublasLtCreate(void** handle) {
  *handle = new int{0};
  return kSuccess;
}

int cublasLtMatmulDescCreate(void** made, int compute, int scale) {
  if (compute != 68 || scale != kF32) return kNotSupported;
  *made = new Descriptor;
  ++alive;
  return kSuccess;
}
int cublasLtMatmulDescSetAttribute(void* p, int attribute, const void* value, size_t bytes) {
  auto& d = *static_cast<Descriptor*>(p);
  if ((attribute == 3 || attribute == 4) && bytes == sizeof(int32_t)) {
    std::memcpy(&d.transpose[attribute - 3], value, bytes);
    return kSuccess;
  }
  if (attribute == 2 && bytes == sizeof d.pointer_mode) {
    std::memcpy(&d.pointer_mode, value, bytes);
    return kSuccess;
  }
  if (attribute == 7 && bytes == sizeof d.epilogue) {
    std::memcpy(&d.epilogue, value, bytes);
    return kSuccess;
  }
  if (attribute == 8 && bytes == sizeof d.bias) {
    std::memcpy(&d.bias, value, bytes);
    return kSuccess;
  }
  return kInvalidValue;
}
int cublasLtMatmulDescDestroy(void* p) {
  return destroy<Descriptor>(p);
}

int cublasLtMatrixLayoutCreate(void** made, int type, uint64_t rows, uint64_t columns,
                               int64_t leading) {
  if (type != kF32 && type != kF16 && type != kBF16) return kNotSupported;
  if (leading < static_cast<int64_t>(rows)) return kInvalidValue;
  *made = new Layout{type, rows, columns, leading};
  ++alive;
  return kSuccess;
}
int cublasLtMatrixLayoutSetAttribute(void* p, int attribute, const void* value, size_t bytes) {
  auto& layout = *static_cast<Layout*>(p);
  if (attribute == 5 && bytes == sizeof layout.batch) {
    std::memcpy(&layout.batch, value, bytes);
    return kSuccess;
  }
  if (attribute == 6 && bytes == sizeof layout.batch_stride) {
    std::memcpy(&layout.batch_stride, value, bytes);
    return kSuccess;
  }
  return kInvalidValue;
}
int cublasLtMatrixLayoutDestroy(void* p) {
  return destroy<Layout>(p);
}

int cublasLtMatmulPreferenceCreate(void** made) {
  *made = new Preference;
  ++alive;
  return kSuccess;
}
int cublasLtMatmulPreferenceSetAttribute(void* p, int attribute, const void* value, size_t bytes) {
  auto& preference = *static_cast<Preference*>(p);
  if (attribute == 1 && bytes == sizeof preference.workspace) {
    std::memcpy(&preference.workspace, value, bytes);
    return kSuccess;
  }
  if (attribute >= 5 && attribute <= 8 && bytes == sizeof preference.alignment[0]) {
    std::memcpy(&preference.alignment[attribute - 5], value, bytes);
    return kSuccess;
  }
  return kInvalidValue;
}
int cublasLtMatmulPreferenceDestroy(void* p) {
  return destroy<Preference>(p);
}

// The alignment it was promised goes into the algorithm, which holds the product to it.
int cublasLtMatmulAlgoGetHeuristic(void*, void* descriptor, void* a, void* b, void* c, void*,
                                   void* preference, int requested, Heuristic* results,
                                   int* returned) {
  Shape s;
  const int status = sizes(*static_cast<Descriptor*>(descriptor), *static_cast<Layout*>(a),
                           *static_cast<Layout*>(b), *static_cast<Layout*>(c), s);
  if (status != kSuccess) return status;
  if (requested < 1) return kInvalidValue;
  const auto& wanted = *static_cast<Preference*>(preference);
  *results = {};
  results->algorithm.data[0] = kMark;
  for (int i = 0; i < 4; ++i) results->algorithm.data[1 + i] = wanted.alignment[i];
  results->workspace = wanted.workspace >= kWorkspace ? kWorkspace : 0;
  *returned = 1;
  ++heuristics;
  return kSuccess;
}

int cublasLtMatmul(void*, void* descriptor, const void* alpha, const void* a, void* a_layout,
                   const void* b, void* b_layout, const void* beta, const void* c, void* c_layout,
                   void* d, void* d_layout, const Algorithm* algorithm, void* workspace,
                   size_t workspace_bytes, void*) {
  const auto& how = *static_cast<Descriptor*>(descriptor);
  const auto &la = *static_cast<Layout*>(a_layout), &lb = *static_cast<Layout*>(b_layout);
  const auto &lc = *static_cast<Layout*>(c_layout), &ld = *static_cast<Layout*>(d_layout);
  Shape s;
  if (const int status = sizes(how, la, lb, ld, s); status != kSuccess) return status;
  if (lc.rows != ld.rows || lc.columns != ld.columns || lc.type != ld.type) return kInvalidValue;
  const void* const pointers[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    const uint64_t alignment = algorithm->data[1 + i];
    if (alignment == 0 || reinterpret_cast<uintptr_t>(pointers[i]) % alignment != 0) {
      return kInvalidValue;
    }
  }
  if (algorithm->data[0] != kMark || workspace_bytes < kWorkspace || workspace == nullptr) {
    return kInvalidValue;
  }
  std::memset(workspace, 0xFF, workspace_bytes);
  const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
  if ((how.epilogue & 4) != 0 && how.bias == nullptr) return kInvalidValue;
  for (int32_t batch = 0; batch < la.batch; ++batch) {
    for (int64_t j = 0; j < s.n; ++j) {
      for (int64_t i = 0; i < s.m; ++i) {
        float sum = 0;
        for (int64_t k = 0; k < s.k; ++k) {
          const int64_t at_a = how.transpose[0] ? k + i * la.leading : i + k * la.leading;
          const int64_t at_b = how.transpose[1] ? j + k * lb.leading : k + j * lb.leading;
          sum += widen(a, la.type, batch * la.batch_stride + at_a) *
                 widen(b, lb.type, batch * lb.batch_stride + at_b);
        }
        sum *= scale;
        if (keep != 0)
          sum += keep * widen(c, lc.type, batch * lc.batch_stride + i + j * lc.leading);
        if (how.epilogue & 4) sum += widen(how.bias, ld.type, i);
        narrow(d, ld.type, batch * ld.batch_stride + i + j * ld.leading, apply(how.epilogue, sum));
      }
    }
  }
  char line[256];
  std::snprintf(line, sizeof line, "%lld %lld %lld, %c%c, %d %d %d, %lld %lld %lld, %d, %u, %g\n",
                (long long)s.m, (long long)s.n, (long long)s.k, how.transpose[0] ? 'T' : 'N',
                how.transpose[1] ? 'T' : 'N', la.type, lb.type, ld.type, (long long)la.leading,
                (long long)lb.leading, (long long)ld.leading, la.batch, how.epilogue, keep);
  lines += line;
  return kSuccess;
}

const char* emu_cublaslt_log() {
  static std::string taken;
  taken = std::exchange(lines, {});
  return taken.c_str();
}
int emu_cublaslt_heuristics() {
  return heuristics;
}
int emu_cublaslt_alive() {
  return alive;
}
}
