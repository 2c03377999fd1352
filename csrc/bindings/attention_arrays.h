// Views of attention's arrays, and the checks on strided outputs that may be parts of one packed
// buffer.
#pragma once

#include "bindings/argument.h"

namespace pyllm::bind {

// (tokens, heads, head_dim) as (1, tokens, heads, head_dim).
Array as_4d(const Array& a);

void require_contiguous_rows(const Array& out, const char* name);

// Throws ValueError if `out` shares an element with `other`. Interleaved columns of one packed
// buffer (batch, seq, columns) are told apart from it.
void require_apart(const Array& out, const char* name, const Array& other, const char* other_name);

}  // namespace pyllm::bind
