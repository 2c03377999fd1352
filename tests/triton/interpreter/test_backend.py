"""How the Triton back end is chosen, and what it says where it cannot serve."""

import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pyllm import cuda, kernels, ops


@pytest.fixture(params=[False, True], ids=["not built in", "built in"])
def built_in(request, monkeypatch):
    """Whether pyllm._cuda is one with Triton kernels; none here gets as far as a launch."""
    triton = SimpleNamespace(count=lambda: int(request.param))
    monkeypatch.setattr(cuda, "extension", lambda: SimpleNamespace(triton=triton))
    return request.param


@pytest.fixture
def without_triton(monkeypatch):
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    kernels.load_triton.cache_clear()


def test_choice_is_scoped_to_block_and_thread():
    x = torch.ones(4, dtype=torch.float64)  # which the CPU takes and Triton does not
    found = []
    other = threading.Thread(target=lambda: found.append(ops.softmax(x)))
    with pytest.raises(TypeError, match="Triton"):
        ops.softmax(x)
    other.start()
    other.join()
    assert len(found) == 1
    with ops.use_backend("auto"):
        ops.softmax(x)


def test_choice_for_all_threads():
    found = []

    def other():
        with pytest.raises(TypeError, match="Triton"):
            ops.softmax(torch.ones(4, dtype=torch.float64))
        found.append(True)

    ops.set_backend("triton")
    try:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    finally:
        ops.set_backend("auto")
    assert found


def test_unknown_back_end():
    with pytest.raises(ValueError, match="backend: expected 'auto' or 'triton', got 'cudnn'"):
        ops.set_backend("cudnn")


def test_what_it_does_not_take(built_in):
    takes = "built into pyllm takes arrays on a CUDA device" if built_in else "takes torch tensors"
    with pytest.raises(TypeError, match=f"the Triton back end {takes}, got ndarray"):
        ops.softmax(np.ones(3, np.float32))
    with pytest.raises(BufferError, match=r"pass x.detach\(\)"):
        ops.softmax(torch.ones(3, requires_grad=True))
    with pytest.raises(TypeError, match="got one on meta"):
        ops.softmax(torch.ones(3, device="meta"))
    with pytest.raises(NotImplementedError, match="quantize_blockwise: the Triton back"):
        ops.quantize_blockwise(torch.ones(3))


@pytest.mark.usefixtures("without_triton")
def test_missing_packages_are_named_where_no_kernels_are_built_in(built_in):
    missing = pytest.raises(ImportError, match=r"torch and triton: pip install 'pyllm\[triton\]'")
    with nullcontext() if built_in else missing, ops.use_backend("triton"):
        pass


@pytest.mark.usefixtures("without_triton")
@pytest.mark.parametrize("built_in", [True], indirect=True)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kernels_built_in_take_no_tensors_of_the_cpu(built_in, dtype):
    with pytest.raises(TypeError, match="takes arrays on a CUDA device, got Tensor elsewhere"):
        ops.softmax(torch.ones(3, dtype=dtype))


def test_cpu_tensors_need_the_interpreter():
    code = (
        "import torch\nfrom pyllm import ops\n"
        "with ops.use_backend('triton'):\n    ops.softmax(torch.ones(3))"
    )
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "x: the Triton back end computes on CUDA tensors, got one on cpu" in done.stderr
    assert "TRITON_INTERPRET=1" in done.stderr
