import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops
from tests.tolerance import assert_close


def check(a, b, **options):
    got = ops.matmul(a, b, **options)
    wide = [np.asarray(x, np.float64) for x in (a, b)]
    for i, name in enumerate(("transpose_a", "transpose_b")):
        if options.get(name):
            wide[i] = np.swapaxes(wide[i], -1, -2)
    scale = np.abs(wide[0]) @ np.abs(wide[1])
    assert got.dtype == a.dtype
    assert_close(got, wide[0] @ wide[1], ops=4 + 2 * np.sqrt(a.shape[-1]), scale=scale)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((4,), (4,)),
        ((4,), (4, 3)),
        ((2, 4), (4,)),
        ((4,), (5, 4, 3)),
        ((5, 2, 4), (4,)),
        ((2, 4), (4, 3)),
        ((5, 2, 4), (4, 3)),
        ((5, 1, 2, 4), (6, 4, 3)),
        ((0, 4), (4, 3)),
        ((2, 0), (0, 3)),
        ((3, 2, 0), (3, 0, 2)),
        ((130, 70), (70, 90)),
        ((6, 33, 64), (6, 64, 33)),
        ((3, 300, 200), (3, 200, 300)),
        ((70, 300), (300,)),
        ((2, 70, 300), (2, 300, 5)),
    ],
)
def test_shapes(backend, dtype, a, b, rng):
    check(rng.normal(size=a).astype(dtype), rng.normal(size=b).astype(dtype))


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_transposes(backend, dtype, transpose_a, transpose_b, rng):
    a = rng.normal(size=(3, 9, 17) if transpose_a else (3, 17, 9)).astype(dtype)
    b = rng.normal(size=(21, 9) if transpose_b else (9, 21)).astype(dtype)
    check(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


@pytest.mark.parametrize("transpose_a", [False, True])
def test_taller_than_a_slab(transpose_a, rng):
    a = rng.normal(size=(20, 9000) if transpose_a else (9000, 20)).astype(np.float32)
    check(a, rng.normal(size=(20, 24)).astype(np.float32), transpose_a=transpose_a)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_tall_product_needs_little_memory():
    """The BLAS packs its operands: by slabs, not all of the 31 MB at once."""
    code = """
import numpy as np
import pyllm
from pyllm import ops

def highest():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

pyllm.set_num_threads(2)
a, b = np.ones((384, 20_000), np.float32), np.ones((384, 1024), np.float32)
out = np.ones((20_000, 1024), np.float32)
ops.matmul(a[:, :64], b, transpose_a=True, out=out[:64])  # what the BLAS sets up once
before = highest()
ops.matmul(a, b, transpose_a=True, out=out)
print(highest() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 9e6


@given(data=st.data())
def test_any_layout(backend, data):
    rng = np.random.default_rng(0)

    def strided(shape):
        order = data.draw(st.permutations(range(len(shape))))
        stored = rng.normal(size=[2 * shape[axis] for axis in order]).astype(np.float32)
        x = stored[tuple(slice(data.draw(st.integers(0, 1)), None, 2) for _ in shape)]
        return x.transpose(np.argsort(order))[..., :: data.draw(st.sampled_from([1, -1]))]

    batch = data.draw(st.lists(st.integers(1, 3), max_size=2))
    m, n, k = (data.draw(st.integers(0, 20)) for _ in range(3))
    repeated = [1 if data.draw(st.booleans()) else length for length in batch]
    a, b = strided([*batch, m, k]), strided([*repeated, k, n])
    if data.draw(st.booleans()):
        check(a, b)
    else:
        check(np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2))


def test_heads_of_a_packed_projection(backend, rng):
    packed = rng.normal(size=(2, 10, 3, 4, 8)).astype(np.float32)
    query, key = packed[:, :, 0].swapaxes(1, 2), packed[:, :, 1].swapaxes(1, 2)
    check(query, key, transpose_b=True)


def test_out(backend, rng):
    a, b = rng.normal(size=(2, 3, 5, 5)).astype(np.float32)
    out = np.empty((3, 5, 5), np.float32).transpose(0, 2, 1)
    assert ops.matmul(a, b, out=out) is out
    np.testing.assert_allclose(out, a @ b, rtol=1e-5, atol=1e-5)


A = np.ones((3, 4), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.matmul(1.0, A), TypeError, "a: expected a NumPy array"),
        (lambda: ops.matmul(A, A.T.astype(float)), TypeError, "b: expected the dtype of a"),
        (lambda: ops.matmul(A, A), ValueError, "the inner axes of a and b differ, 4 and 3"),
        (
            lambda: ops.matmul(A, A, transpose_a=True, transpose_b=True),
            ValueError,
            "inner axes .* a transposed, b transposed",
        ),
        (lambda: ops.matmul(A[0], A, transpose_a=True), ValueError, "transpose_a: needs"),
        (lambda: ops.matmul(np.ones((), np.float32), A), ValueError, "at least one axis"),
        (
            lambda: ops.matmul(np.ones((2, 3, 4), np.float32), np.ones((3, 4, 2), np.float32)),
            ValueError,
            "do not broadcast",
        ),
        (lambda: ops.matmul(A, A.T, out=A), ValueError, "out: expected shape"),
        (lambda: ops.matmul(A[:, :3], A[:, :3], out=A[:, :3]), ValueError, "out: overlaps"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
