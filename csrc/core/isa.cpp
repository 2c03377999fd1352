#include "core/isa.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace pyllm {
namespace {

std::vector<Isa> supported() {
  std::vector<Isa> isas{Isa::baseline};
#if defined(PYLLM_HAS_X86_ISAS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    isas.push_back(Isa::avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      isas.push_back(Isa::avx512);
    }
  }
#endif
  return isas;
}

Isa parse(const std::string& name) {
  std::string known;
  for (const Isa isa : supported()) {
    if (name == name_of(isa)) return isa;
    known += std::string(known.empty() ? "" : ", ") + name_of(isa);
  }
  throw std::invalid_argument("instruction set '" + name + "' is not available here; choose from " +
                              known);
}

std::atomic<Isa>& current() {
  static std::atomic<Isa> isa = [] {
    const char* forced = std::getenv("PYLLM_ISA");
    return forced && *forced ? parse(forced) : supported().back();
  }();
  return isa;
}

}  // namespace

Isa current_isa() {
  return current().load(std::memory_order_relaxed);
}

void set_isa(const std::string& name) {
  current().store(parse(name));
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Isa isa : supported()) names.emplace_back(name_of(isa));
  return names;
}

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::avx512:
      return "avx512";
    case Isa::avx2:
      return "avx2";
    case Isa::baseline:
      break;
  }
#if defined(__aarch64__)
  return "neon";
#else
  return "baseline";
#endif
}

}  // namespace pyllm
