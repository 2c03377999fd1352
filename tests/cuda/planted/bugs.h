#pragma once

#include <cstdint>

// One argument struct for all planted bugs: `x` is read, `y` written, `bug` switches the bug on.
struct PlantedArgs {
  const float* x;
  float* y;
  int32_t bug;
};
