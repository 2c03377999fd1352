"""What stands in the compiled kernels: tensor cores, asynchronous and 16-byte copies, no detours.

Kernels are chosen by name and template arguments, never by what stands in them. Needs nvcc, and
cuobjdump to disassemble (extra `gpu-tests`, or Triton's wheel); no GPU.
"""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.cuda.static.budgets import BUDGETS, budget
from tests.cuda.static.compiled import (
    NEWEST,
    TARGETS,
    compile_source,
    count,
    instructions,
    instructions_of,
    launch_bounds,
)

pytestmark = pytest.mark.usefixtures("compiled_families")

PLANTED = Path(__file__).parent / "static" / "planted_kernels.cu"
LOAD, STORE = r"LDG\.\S*128", r"STG\.\S*128"
ASYNC = r"LDGSTS\.\S*128"
FLOAT64 = r"D(ADD|MUL|FMA|SETP|MNMX|MMA)|[FI]2F\.F64|F2[FI]\S*\.F64"
HALVES = ("half", "bf16")


def code_of(family, pattern, targets=TARGETS):
    """{(kernel, target): instructions} of the kernels that a pattern names, on every target."""
    code = {k: c for k, c in instructions(family, targets).items() if fnmatchcase(k[0], pattern)}
    assert {target for _, target in code} == set(targets), f"{pattern} names no kernel"
    return code


def missing(code, *wanted):
    """The kernels that lack one of these instructions, and which."""
    return [(key, name) for key, c in code.items() for name in wanted if not count(c, name)]


def present(code, unwanted):
    """The kernels that have this instruction."""
    return [key for key, c in code.items() if count(c, unwanted)]


PRODUCTS = [
    ("attention", "attention_forward"),
    ("attention_backward", "attention_backward_q"),
    ("attention_backward", "attention_backward_kv"),
    ("attention_bias", "attention_backward_bias"),
    ("attention_decode", "attention_decode"),
]


@pytest.mark.parametrize(("family", "kernel"), PRODUCTS)
@pytest.mark.parametrize("head_dim", [32, 64, 96, 128, 256])
def test_attention_is_on_the_tensor_cores(family, kernel, head_dim):
    """16 bits: mma of operands by ldmatrix, tiles by cp.async. float32 is multiplied as such."""
    for storage in HALVES:
        code = code_of(family, f"{kernel}<{storage}, {head_dim}>")
        accumulates = rf"HMMA\.16816\.F32{'.BF16' if storage == 'bf16' else '$'}"
        assert not missing(code, accumulates, r"LDSM\.16\.M88\.4", ASYNC)
        assert not present(code, r"HMMA\S*\.F16$"), "sums in float16"
    code = code_of(family, f"{kernel}<float, {head_dim}>")
    assert not missing(code, ASYNC, r"LDS\.128", "FFMA")
    assert not present(code, "HMMA")


def test_the_newest_target_has_the_same_instructions():
    """Its PTX is in pyllm._cuda; the driver makes of it what ptxas makes of it here."""
    for storage in HALVES:
        code = code_of("attention_decode", f"attention_decode<{storage}, *>", (NEWEST,))
        assert not missing(code, r"HMMA\.16816\.F32", r"LDSM\.16\.M88\.4", ASYNC)
    code = code_of("softmax", "softmax_held<bf16, 8, *>", (NEWEST,))
    assert not missing(code, LOAD, STORE)
    for family in ("attention_decode", "softmax"):
        assert not present(instructions(family, (NEWEST,)), "LDL|STL")


# The kernels whose accesses to arrays in the caller's layout are 16 bytes a thread, where the
# caller's addresses allow it: these are the versions for that case.
WIDE = [
    ("activation", "activation_forward<float, 4>"),
    ("activation", "activation_forward<*, 8>"),
    ("activation", "activation_backward<float, 4>"),
    ("activation", "activation_backward<*, 8>"),
    ("activation", "glu_*ward<float, 4>"),
    ("activation", "glu_*ward<*, 8>"),
    ("adamw", "update_step<float, float, *, false>"),
    ("adafactor", "adafactor_apply<float, float>"),
    ("copy", "strided_copy<Vec<unsigned long, 2>>"),
    ("cross_entropy", "cross_entropy_backward<float, 4, *>"),
    ("cross_entropy", "cross_entropy_backward<*, 8, *>"),
    ("dropout", "dropout<float, true>"),
    ("embedding", "embedding_forward<float, 4>"),
    ("embedding", "embedding_forward<*, 8>"),
    ("embedding", "embedding_tiles<*, 8>"),
    ("linear_cross_entropy", "linear_cross_entropy_chunk<float, *, true>"),
    ("lion", "update_step<float, float, *, false>"),
    ("norm", "norm_held<float, 4, *>"),
    ("norm", "norm_held<*, 8, *>"),
    ("norm", "norm_long<float, 4, *>"),
    ("norm", "norm_long<*, 8, *>"),
    ("norm", "norm_backward_held<float, 4, *>"),
    ("norm", "norm_backward_held<*, 8, ???, *>"),
    ("pointwise", "pointwise<float, [01], false, 4>"),
    ("pointwise", "pointwise<*, [01], false, 8>"),
    ("pointwise", "pointwise_cast<float, float, 4>"),
    ("pointwise", "pointwise_cast<half, bf16, 8>"),
    ("rotary", "rotary<float, 4, *>"),
    ("rotary", "rotary<*, 8, *>"),
    ("sgd", "update_step<float, float, *, false>"),
    ("softmax", "softmax_*<float, 4*>"),
    ("softmax", "softmax_*<[bh]???, 8*>"),
    ("tree_histogram", "tree_subtract<*>"),
]
# What reads 16 bytes at a time and writes little, or what is narrower on one side.
WIDE_LOADS = [
    ("attention_backward", "attention_delta<*>"),
    ("blockwise", "blockwise_quantize<*>"),
    ("cross_entropy", "cross_entropy_forward<*>"),
    ("gradient_norm", "gradient_parts<*>"),
    ("linear_cross_entropy", "linear_cross_entropy_chunk<*>"),
    ("pointwise", "pointwise<float, 2, false, 4>"),
    ("pointwise", "pointwise<*, 2, false, 8>"),
    ("pointwise", "pointwise_cast<float, bf16, 4>"),
    ("pointwise", "pointwise_cast<long, Byte, 2>"),
]
WIDE_STORES = [
    ("attention", "attention_forward<*>"),  # loads are copies to shared memory
    ("attention_backward", "attention_backward_*<*>"),
    ("blockwise", "blockwise_dequantize<*>"),
    ("pointwise", "pointwise_cast<bf16, float, 4>"),
    ("pointwise", "pointwise_cast<Byte, long, 2>"),
]


@pytest.mark.parametrize(("family", "kernels"), WIDE)
def test_arrays_are_read_and_written_16_bytes_at_a_time(family, kernels):
    assert not missing(code_of(family, kernels), LOAD, STORE)


@pytest.mark.parametrize(("family", "kernels"), WIDE_LOADS)
def test_arrays_are_read_16_bytes_at_a_time(family, kernels):
    assert not missing(code_of(family, kernels), LOAD)


@pytest.mark.parametrize(("family", "kernels"), WIDE_STORES)
def test_arrays_are_written_16_bytes_at_a_time(family, kernels):
    assert not missing(code_of(family, kernels), STORE)


@pytest.mark.parametrize("family", ["adamw", "lion", "sgd"])
@pytest.mark.parametrize("storage", HALVES)
def test_optimizers_move_four_parameters_at_a_time(family, storage):
    """Beside four float32 moments: 8 bytes of a 16-bit parameter."""
    code = code_of(family, f"update_step<{storage}, {storage}, *, false>")
    assert not missing(code, LOAD, r"LDG\.\S*64", r"STG\.\S*64", STORE)


# Kernels with an array that is indexed by what only the device knows.
LOCAL = {"pointwise": ["pointwise<*, 0, true, 1>"]}  # sin and cos of large x, by the CUDA library
# Kernels that sum in float64, or reach results to the last bit as the CPU does.
DOUBLE = {
    "adafactor": ["adafactor_*"],
    "cross_entropy": ["cross_entropy_totals<*>", "cross_entropy_reduce"],
    "gradient_norm": ["gradient_*"],
    "pointwise": ["pointwise<*, 0, true, 1>"],
    "tree_bins": ["tree_quantize<*>", "tree_bins<*>"],
    "tree_derivatives": ["tree_derivatives<*>", "tree_softmax_derivatives<*>"],
    "tree_leaves": ["tree_leaf_sums<*>", "tree_add_blocks<*>", "tree_add_leaf_values<*>"],
    "tree_predict": ["tree_predict<*>"],
    "tree_split": ["tree_split_*"],
}


def named_by(patterns, kernel):
    return any(fnmatchcase(kernel, pattern) for pattern in patterns)


@pytest.mark.parametrize("family", BUDGETS)
def test_nothing_is_kept_in_local_memory(family):
    found = {name for name, _ in present(instructions(family), "LDL|STL")}
    assert not [name for name in found if not named_by(LOCAL.get(family, ()), name)]


@pytest.mark.parametrize("family", BUDGETS)
def test_float64_is_computed_where_it_is_meant(family):
    found = {name for name, _ in present(instructions(family), FLOAT64)}
    assert not [name for name in found if not named_by(DOUBLE.get(family, ()), name)]


def test_exponentials_are_those_of_the_hardware():
    """softmax and attention: MUFU.EX2; no call into a library between the products."""
    assert not missing(code_of("softmax", "softmax_*"), r"MUFU\.EX2")
    for family, kernel in PRODUCTS:
        assert not missing(code_of(family, f"{kernel}<*>"), r"MUFU\.EX2")


def test_histograms_are_added_up_by_integer_atomics():
    """In shared memory, then each bin once in global memory, without an answer (RED, not ATOM)."""
    for sums in ("int", "long"):
        code = code_of("tree_histogram", f"tree_histogram<*, {sums}>")
        assert not missing(code, r"ATOMS\.ADD", r"REDG?\.E\.ADD\.64")
        # Of 64 bits shared memory has no addition; nvcc makes a loop of it, ATOMS.CAST.SPIN.
        assert not present(code, r"\w+\S*\.F(32|64|16)|ATOMG|ATOMS\.CAS|F(ADD|FMA)")


@pytest.mark.parametrize("family", BUDGETS)
def test_blocks_are_of_the_budgets_size(family):
    for (kernel, target), threads in launch_bounds(family).items():
        assert budget(family, kernel)["threads"] == threads, (kernel, target)


def test_planted_kernels_are_found_out():
    _, made = compile_source(PLANTED)
    planted = instructions_of(made, TARGETS)

    def kernel(name):
        return {key: c for key, c in planted.items() if key[0] == name}

    right = kernel("planted_right")
    assert set(right) == {("planted_right", target) for target in TARGETS}
    assert not missing(right, LOAD, STORE)
    assert not present(right, f"LDL|STL|{FLOAT64}")
    assert len(missing(kernel("planted_narrow"), LOAD, STORE)) == 2 * len(TARGETS)
    assert len(present(kernel("planted_local"), "LDL|STL")) == len(TARGETS)
    assert len(present(kernel("planted_double"), FLOAT64)) == len(TARGETS)
    with pytest.raises(AssertionError, match="names no kernel"):
        code_of("softmax", "softmax_hold<*>")
