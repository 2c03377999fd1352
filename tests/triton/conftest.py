"""The Triton back end on the CPU, through Triton's interpreter."""

import os
from importlib.util import find_spec

import ml_dtypes
import numpy as np
import pytest

from pyllm import ops

MISSING = [name for name in ("torch", "triton") if find_spec(name) is None]
if MISSING:
    collect_ignore_glob = ["*/test_*.py"]
else:
    os.environ["TRITON_INTERPRET"] = "1"  # read where the kernels are first imported


def pytest_terminal_summary(terminalreporter):
    if MISSING:
        terminalreporter.write_line(
            f"tests/triton: left out, {' and '.join(MISSING)} not installed; "
            "pip install 'pyllm[triton]' brings them"
        )


@pytest.fixture(autouse=True)
def triton_backend():
    # The interpreter computes in NumPy, which warns where IEEE arithmetic is meant.
    with np.errstate(all="ignore"), ops.use_backend("triton"):
        yield


DTYPES = [np.dtype(np.float32), np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]


@pytest.fixture(params=DTYPES, ids=str)
def dtype(request):
    """Each storage type that the kernels take, as a NumPy dtype."""
    return request.param
