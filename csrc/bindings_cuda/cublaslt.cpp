// cuBLASLt stores matrices by columns. A matrix stored by rows is, read by columns, its transpose,
// so c = a b becomes c' = b' a', with the operands exchanged and c's columns as rows.
#include "bindings_cuda/cublaslt.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <vector>

#include "bindings_cuda/cublaslt_library.h"

namespace pyllm::bind_cuda {
namespace {

constexpr uint64_t kMaxWorkspace = uint64_t{32} << 20;  // what cuBLAS itself takes on Hopper

// Owns a descriptor, layout or preference.
template <class Create, class Destroy>
class Owned {
 public:
  Owned(Destroy destroy, Create&& create) : destroy_(destroy) {
    const lt::Status status = create(&p_);
    if (status != 0 && p_ != nullptr) destroy_(p_);
    lt::check(status, "describing a product");
  }
  ~Owned() { destroy_(p_); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  void* get() const { return p_; }

 private:
  void* p_ = nullptr;
  Destroy destroy_;
};

int type_of(DType dtype) {
  return dtype == DType::f16 ? lt::kR16F : dtype == DType::bf16 ? lt::kR16BF : lt::kR32F;
}

// An operand as cuBLASLt reads it: by columns, `rows` along the axis of stride 1.
struct Operand {
  void* data;
  int type;
  uint64_t rows, columns;
  int64_t leading, batch_stride;
  lt::Operation operation;

  // op(operand) is the transpose of m.
  explicit Operand(const Matrices& m)
      : data(m.data), type(type_of(m.dtype)), batch_stride(m.batch_stride) {
    // Where both strides would do (one row or column), by rows.
    const bool by_rows = m.column_stride == 1 || m.columns == 1;
    rows = static_cast<uint64_t>(by_rows ? m.columns : m.rows);
    columns = static_cast<uint64_t>(by_rows ? m.rows : m.columns);
    leading = by_rows ? m.row_stride : m.column_stride;
    if (columns == 1) leading = std::max<int64_t>(leading, static_cast<int64_t>(rows));
    operation = by_rows ? lt::kNormal : lt::kTransposed;
  }
  uint32_t alignment() const {
    const auto address = reinterpret_cast<uintptr_t>(data);
    return static_cast<uint32_t>(std::min<uintptr_t>(address & -address, 256));
  }
};

uint32_t bits_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::bias:
      return lt::kBias;
    case Epilogue::relu:
      return lt::kRelu;
    case Epilogue::relu_bias:
      return lt::kRelu | lt::kBias;
    case Epilogue::gelu_tanh:
      return lt::kGelu;
    case Epilogue::gelu_tanh_bias:
      return lt::kGelu | lt::kBias;
    default:
      return lt::kDefault;
  }
}

lt::Handle handle_of(int device) {
  static auto* handles = new std::map<int, lt::Handle>;
  if (const auto it = handles->find(device); it != handles->end()) return it->second;
  lt::Handle handle = nullptr;
  lt::check(lt::library().create(&handle), "making a handle");
  return handles->emplace(device, handle).first->second;
}

// What a choice of algorithm depends on.
using Key = std::vector<int64_t>;

Key key_of(int device, const Product& p, const Operand& a, const Operand& b, const Operand& c) {
  Key key{device, p.batch, static_cast<int64_t>(p.epilogue), p.accumulate, p.alpha != nullptr};
  for (const Operand* o : {&a, &b, &c}) {
    key.insert(key.end(), {o->type, static_cast<int64_t>(o->rows), static_cast<int64_t>(o->columns),
                           o->leading, o->batch_stride, o->operation, o->alignment()});
  }
  return key;
}

}  // namespace

void multiply(Call& call, const Product& p) {
  const lt::Library& lib = lt::library();
  // Exchanged: the first operand of cuBLASLt is our second.
  const Operand a(p.b), b(p.a), c(p.c);

  const auto make_layout = [&](const Operand& o) {
    return Owned(lib.layout_destroy, [&](lt::Layout* layout) {
      const lt::Status made = lib.layout_create(layout, o.type, o.rows, o.columns, o.leading);
      if (made != 0 || p.batch == 1) return made;
      const auto count = static_cast<int32_t>(p.batch);
      const lt::Status counted = lib.layout_set(*layout, lt::kBatchCount, &count, sizeof count);
      if (counted != 0) return counted;
      return lib.layout_set(*layout, lt::kBatchStride, &o.batch_stride, sizeof o.batch_stride);
    });
  };
  const auto a_layout = make_layout(a), b_layout = make_layout(b), c_layout = make_layout(c);
  const Owned descriptor(lib.descriptor_destroy, [&](lt::Descriptor* d) {
    return lib.descriptor_create(d, lt::kCompute32F, lt::kR32F);
  });
  const auto set = [&](int attribute, const auto& value) {
    lt::check(lib.descriptor_set(descriptor.get(), attribute, &value, sizeof value),
              "describing a product");
  };
  set(lt::kTransA, a.operation);
  set(lt::kTransB, b.operation);
  set(lt::kEpilogue, bits_of(p.epilogue));
  if (p.bias != nullptr) set(lt::kBiasPointer, p.bias);
  if (p.alpha != nullptr) set(lt::kPointerMode, lt::kDevicePointers);

  static auto* chosen = new std::map<Key, lt::Heuristic>;  // under the GIL
  const Key key = key_of(call.device(), p, a, b, c);
  const lt::Handle handle = handle_of(call.device());
  auto found = chosen->find(key);
  if (found == chosen->end()) {
    const Owned preference(lib.preference_destroy,
                           [&](lt::Preference* made) { return lib.preference_create(made); });
    const auto prefer = [&](int attribute, const auto& value) {
      lt::check(lib.preference_set(preference.get(), attribute, &value, sizeof value),
                "stating a preference");
    };
    prefer(lt::kWorkspaceBytes, kMaxWorkspace);
    prefer(lt::kAlignmentA, a.alignment());
    prefer(lt::kAlignmentB, b.alignment());
    prefer(lt::kAlignmentC, c.alignment());
    prefer(lt::kAlignmentD, c.alignment());
    lt::Heuristic best{};
    int count = 0;
    lt::check(lib.heuristic(handle, descriptor.get(), a_layout.get(), b_layout.get(),
                            c_layout.get(), c_layout.get(), preference.get(), 1, &best, &count),
              "choosing an algorithm");
    if (count == 0) throw std::runtime_error("cuBLASLt: has no algorithm for this product");
    found = chosen->emplace(key, best).first;
  }
  const lt::Heuristic& best = found->second;
  void* workspace = best.workspace > 0 ? call.workspace(best.workspace) : nullptr;
  const float one = 1.0f, beta = p.accumulate ? 1.0f : 0.0f;
  const void* const factors[] = {p.alpha ? p.alpha : &one, p.alpha ? p.beta : &beta};
  lt::check(lib.matmul(handle, descriptor.get(), factors[0], a.data, a_layout.get(), b.data,
                       b_layout.get(), factors[1], c.data, c_layout.get(), c.data, c_layout.get(),
                       &best.algorithm, workspace, best.workspace, call.stream().handle()),
            "multiplying");
}

std::string describe_cublaslt() {
  try {
    const lt::Library& lib = lt::library();
    return lib.path + ", version " + std::to_string(lib.get_version());
  } catch (const std::runtime_error& error) {
    return std::string("no: ") + error.what();
  }
}

}  // namespace pyllm::bind_cuda
