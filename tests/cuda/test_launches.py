"""Block sizes and dynamic shared memory in the budget file are what launchers ask for."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda import test_attention_decode
from tests.cuda.attention_cases import run_both, run_forward, tensors
from tests.cuda.emulator.build import KERNELS
from tests.cuda.static.budgets import budget

FAMILIES = ("attention", "attention_backward", "attention_bias")
STORAGE = {"float": np.dtype(np.float32), "bf16": np.dtype(ml_dtypes.bfloat16)}


def assert_as_budgeted(result, family, kernel, arguments):
    name = kernel.split("<")[0]
    (counts,) = (c for k, c in result.kernels.items() if k.strip("()").split("<")[0] == name)
    held = budget(family, f"{kernel}<{arguments}>")
    assert counts["threads"] == held["threads"]
    assert counts["dynamic_shared"] == held["dynamic"]


@pytest.mark.parametrize("dim", [32, 64, 96, 128, 256])
@pytest.mark.parametrize("storage", STORAGE)
def test_attention(emulator_for, rng, storage, dim):
    sources = [KERNELS / f"{family}.cu" for family in FAMILIES]
    arrays = tensors(rng, (3, 3, 1, 1, dim), STORAGE[storage])
    bias = rng.standard_normal((3, 3)).astype(np.float32)
    emulator, arguments = emulator_for("plain", sources), f"{storage}, {dim}"
    result = run_forward(emulator, *arrays[:3], counted=True)
    assert_as_budgeted(result, "attention", "attention_forward", arguments)
    result = run_both(emulator, *arrays, bias=bias, need_dbias=True, counted=True)
    assert_as_budgeted(result, "attention_backward", "attention_backward_q", arguments)
    assert_as_budgeted(result, "attention_backward", "attention_backward_kv", arguments)
    assert_as_budgeted(result, "attention_bias", "attention_backward_bias", arguments)


@pytest.mark.parametrize("dim", [32, 64, 96, 128, 256])
@pytest.mark.parametrize("storage", STORAGE)
def test_decode(emulator_for, rng, storage, dim):
    given = test_attention_decode.tensors(rng, STORAGE[storage], [5], dim=dim)
    emulator = emulator_for("plain", [KERNELS / "attention_decode.cu"])
    result = test_attention_decode.run(emulator, *given, splits=1, counted=True)
    assert_as_budgeted(result, "attention_decode", "attention_decode", f"{storage}, {dim}")
