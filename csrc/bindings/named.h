// Tables of ops by the names that Python gives.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <string_view>

namespace pyllm::bind {

template <class Op>
struct Named {
  const char* name;
  Op op;
};

// Throws ValueError, naming those there are.
template <class Table>
auto find_op(const Table& table, std::string_view name) {
  for (const auto& entry : table) {
    if (name == entry.name) return entry.op;
  }
  std::string names;
  for (const auto& entry : table)
    names += names.empty() ? entry.name : ", " + std::string(entry.name);
  throw pybind11::value_error("op: expected one of " + names + ", got '" + std::string(name) + "'");
}

}  // namespace pyllm::bind
