// The few lines of a test framework that the native tests need: they exist to be run under
// sanitizers, where a Python process in between only gets in the way.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

struct NativeTest {
  const char* name;
  void (*run)();
};
inline std::vector<NativeTest>& native_tests() {
  static std::vector<NativeTest> tests;
  return tests;
}
inline int& failures() {
  static int count = 0;
  return count;
}

#define TEST(name)                                                                   \
  static void name();                                                                \
  static const int registered_##name = (native_tests().push_back({#name, name}), 0); \
  static void name()

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::printf("%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
      ++failures();                                                             \
    }                                                                           \
  } while (0)
