#include "core/parallel.h"
#include "cpu/attention.h"
#include "cpu/attention/scores.h"
namespace pyllm::PYLLM_ISA {
void attention_decode(const DecodeArgs&) {}
}  // namespace pyllm::PYLLM_ISA
