"""What matmul and linear ask of cuBLASLt: layouts, transposes, epilogues, and when they choose.

Log lines are m n k, operations, types, leading dimensions, batch, epilogue, beta; cuBLASLt's
matrices are by columns, so a product by rows shows its operands exchanged (fake_cublaslt.cpp).
Types: 0 float32, 2 float16, 14 bfloat16. Epilogues: 1 none, 2 relu, 4 bias, 32 GELU by tanh.
"""

import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

from pyllm import cuda, ops
from tests.cuda.emulator.build import build_module
from tests.cuda.emulator.module import CublasLt, emulated_module


@pytest.fixture(scope="module")
def library():
    emulated_module()
    return CublasLt()


@pytest.fixture
def lt(library, monkeypatch):
    loaded = emulated_module()
    monkeypatch.setattr(cuda, "extension", lambda: loaded)
    library.log()
    yield library
    assert library.alive == 0


def device(*shape, dtype=np.float32):
    return cuda.to_device(np.ones(shape, dtype))


def turned(rows, columns):
    """(rows, columns) by columns."""
    return device(columns, rows).as_strided((rows, columns), (1, rows))


def test_layouts_of_a_product(lt):
    m, n, k = 5, 3, 7
    ops.matmul(device(m, k), device(k, n))
    ops.matmul(turned(m, k), device(k, n))
    ops.matmul(device(m, k), turned(k, n))
    ops.matmul(device(k, m), device(n, k), transpose_a=True, transpose_b=True)
    ops.matmul(device(m, 9).as_strided((m, k), (9, 1)), device(k, n))
    assert lt.log() == [
        "3 5 7, NN, 0 0 0, 3 7 3, 1, 1, 0",
        "3 5 7, NT, 0 0 0, 3 5 3, 1, 1, 0",
        "3 5 7, TN, 0 0 0, 7 7 3, 1, 1, 0",
        "3 5 7, TT, 0 0 0, 7 5 3, 1, 1, 0",
        "3 5 7, NN, 0 0 0, 3 9 3, 1, 1, 0",
    ]


def test_stacks_are_one_call_where_a_stride_describes_them(lt):
    ops.matmul(device(6, 5, 7), device(6, 7, 3))
    ops.matmul(device(2, 3, 5, 7), device(2, 3, 7, 3))
    ops.matmul(device(6, 5, 7), device(7, 3))  # repeated: stride 0
    ops.matmul(device(2, 3, 5, 7), device(3, 7, 3))  # repeated along the outer axis only
    assert [line.split(", ")[4] for line in lt.log()] == ["6", "6", "6", "3", "3"]


def test_epilogues_of_linear(lt):
    x, weight, bias = device(5, 7), device(3, 7), device(3)
    for activation in (None, "relu", "gelu_tanh", "gelu"):
        ops.linear(x, weight, bias, activation=activation)
    ops.linear(x, weight, activation="relu")
    ops.linear(x, weight, bias, activation="relu", return_preactivation=True)
    lines = lt.log()
    # The exact GELU, and an activation whose input is kept, are kernels of their own.
    assert [line.split(", ")[5] for line in lines] == ["4", "6", "36", "4", "2", "4"]
    assert {line.split(", ")[1] for line in lines} == {"TN"}


def test_gradients_of_linear(lt):
    x, weight, grad = (device(*s, dtype=ml_dtypes.bfloat16) for s in ((5, 7), (3, 7), (5, 3)))
    dweight, dbias = device(3, 7), device(3)
    ops.linear_backward(
        grad, x, weight, bias=True, dweight_out=dweight, dbias_out=dbias, accumulate=True
    )
    assert lt.log() == [
        "7 5 3, NN, 14 14 14, 7 3 7, 1, 1, 0",  # dx = grad weight
        "7 3 5, NT, 14 14 0, 7 3 7, 1, 1, 1",  # dweight += grad^T x, into float32
        "3 1 5, NN, 14 14 0, 3 5 3, 1, 1, 1",  # dbias += 1^T grad
    ]
    np.testing.assert_array_equal(dweight.numpy(), np.full((3, 7), 6.0))
    np.testing.assert_array_equal(dbias.numpy(), np.full(3, 6.0))


def test_a_choice_is_made_once_for_a_shape_and_an_alignment(lt):
    a, b = device(11, 13), device(13, 17)
    before = lt.heuristics
    for _ in range(3):
        ops.matmul(a, b)
    assert lt.heuristics == before + 1
    # The library refuses pointers that are aligned to less than it was promised.
    odd = device(11 * 13 + 1).as_strided((11, 13), (13, 1), 1)
    np.testing.assert_array_equal(ops.matmul(odd, b).numpy(), np.full((11, 17), 13.0))
    assert lt.heuristics == before + 2


def test_nothing_to_sum_over(lt):
    empty, weight = device(4, 0), device(3, 0)
    bias = cuda.to_device(np.array([-1, 0, 2], np.float32))
    np.testing.assert_array_equal(ops.matmul(empty, device(0, 3)).numpy(), np.zeros((4, 3)))
    got = ops.linear(empty, weight, bias, activation="relu").numpy()
    np.testing.assert_array_equal(got, np.tile(np.float32([0, 0, 2]), (4, 1)))
    assert ops.linear(device(0, 7), device(3, 7)).shape == (0, 3)
    assert lt.log() == []


def test_says_what_to_install_where_there_is_no_library(lt):
    script = (
        "import sys, numpy as np\n"
        "from importlib.util import module_from_spec, spec_from_file_location\n"
        "spec = spec_from_file_location('_cuda_emulated', sys.argv[1])\n"
        "module = module_from_spec(spec); spec.loader.exec_module(module)\n"
        "print(module.describe_cublaslt())\n"
        "x = module.to_device(np.ones((2, 2), np.float32))\n"
        "module.matmul(x, x)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(build_module())],
        env={**os.environ, "PYLLM_CUBLASLT": "/nowhere/libcublasLt.so"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("no: matrix products on CUDA need cuBLASLt")
    assert "RuntimeError" in done.stderr
    assert "not found at PYLLM_CUBLASLT=/nowhere/libcublasLt.so; pip install" in done.stderr
