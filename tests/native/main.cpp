#include <cstdio>
#include <string>

#include "check.h"
#include "core/isa.h"
#include "core/parallel.h"

// Every test runs on each instruction set of this machine, with more threads than cores.
int main() {
  pyllm::set_num_threads(4);
  for (const std::string& isa : pyllm::available_isas()) {
    pyllm::set_isa(isa);
    for (const NativeTest& test : native_tests()) {
      std::printf("%s [%s]\n", test.name, isa.c_str());
      std::fflush(stdout);
      test.run();
    }
  }
  std::printf("%d checks failed\n", failures());
  return failures() == 0 ? 0 : 1;
}
