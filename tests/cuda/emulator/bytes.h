// Moving bytes without memcpy: a sanitizer's memcpy would take the emulator's accesses, made on
// behalf of all the lanes of a warp, for those of the thread that happens to run.
#pragma once

#include <cstddef>

namespace emu {

inline void move_bytes(void* to, const void* from, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) {
    static_cast<unsigned char*>(to)[i] = static_cast<const unsigned char*>(from)[i];
  }
}

inline void fill_bytes(void* to, unsigned char value, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) static_cast<unsigned char*>(to)[i] = value;
}

}  // namespace emu
