// A double whose operations round one by one, where the compiler may not fuse a product and a sum:
// results are those of the CPU, to the bit.
#pragma once

#include "device.cuh"

namespace pyllm::cuda {

struct Exact {
  double v;
  PYLLM_DEVICE Exact(double value) : v(value) {}
  PYLLM_DEVICE Exact operator-() const { return -v; }
};
PYLLM_DEVICE Exact operator+(Exact a, Exact b) {
  return dev::add_rn(a.v, b.v);
}
PYLLM_DEVICE Exact operator-(Exact a, Exact b) {
  return dev::add_rn(a.v, -b.v);
}
PYLLM_DEVICE Exact operator*(Exact a, Exact b) {
  return dev::mul_rn(a.v, b.v);
}
PYLLM_DEVICE Exact operator/(Exact a, Exact b) {
  return dev::div_rn(a.v, b.v);
}
PYLLM_DEVICE bool operator<(Exact a, Exact b) {
  return a.v < b.v;
}
PYLLM_DEVICE bool operator>(Exact a, Exact b) {
  return a.v > b.v;
}

}  // namespace pyllm::cuda
