"""Arrays of other frameworks, and capsules that lie."""

import ctypes
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from pyllm import _cpu, ops
from pyllm.ops.backend import backend_of


class Foreign:
    """A framework's array: NumPy inside, DLPack outside."""

    def __init__(self, array, versioned=True, device=(1, 0)):
        self.array, self.versioned, self.device = array, versioned, device

    def __dlpack__(self, **options):
        if options and not self.versioned:
            raise TypeError("unexpected keyword argument 'max_version'")
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device


def from_dlpack(exported):
    return np.from_dlpack(exported)


@pytest.mark.parametrize("versioned", [True, False])
def test_round_trip(versioned, rng):
    x = rng.normal(size=(4, 5)).astype(np.float32)
    y = ops.softmax(Foreign(x[:, ::-1], versioned))
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, ops.softmax(x[:, ::-1]))


def test_out_writes_through(rng):
    x = rng.normal(size=(4, 5)).astype(np.float32)
    out = Foreign(np.zeros_like(x), versioned=False)
    assert ops.softmax(x, out=out) is out
    np.testing.assert_array_equal(out.array, ops.softmax(x))


def test_read_only_flag_of_a_versioned_capsule(rng):
    x = rng.normal(size=(4, 5)).astype(np.float32)
    target = np.zeros_like(x)
    target.flags.writeable = False
    with pytest.raises(ValueError, match="out: is read-only"):
        ops.softmax(x, out=Foreign(target))


def test_another_device_is_an_error():
    rocm = (10, 0)
    with pytest.raises(TypeError, match="DLPack device type 10"):
        backend_of(Foreign(np.ones(3, np.float32), device=rocm))


def test_a_type_without_from_dlpack():
    class Elsewhere:
        __module__ = "nowhere"
        __dlpack__ = Foreign.__dlpack__
        __init__ = Foreign.__init__
        __dlpack_device__ = Foreign.__dlpack_device__

    with pytest.raises(TypeError, match="found no from_dlpack"):
        ops.softmax(Elsewhere(np.ones(3, np.float32)))


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (np.ones(3, np.complex64), TypeError, "DLPack type"),
        (np.ones((1,) * 9, np.float32), ValueError, "at most 8 axes"),
        (np.ones(3, np.int32), TypeError, "expected float32"),
    ],
)
def test_bad_contents(array, error, message):
    with pytest.raises(error, match=message):
        ops.softmax(Foreign(array))


def test_no_capsule_at_all():
    class Liar:
        __module__ = __name__

        def __dlpack__(self, **options):
            return "not a capsule"

        def __dlpack_device__(self):
            return (1, 0)

    with pytest.raises(TypeError, match="did not return a DLPack capsule"):
        ops.softmax(Liar())


def test_exports_keep_the_memory_alive(rng):
    x = rng.normal(size=(64, 64)).astype(np.float32)
    y = ops.softmax(Foreign(x))
    expected = y.copy()
    for _ in range(50):
        ops.softmax(x)
    np.testing.assert_array_equal(y, expected)


def test_an_unconsumed_capsule_gives_its_memory_back(rng, monkeypatch):
    x = rng.normal(size=(64, 64)).astype(np.float32)
    before = _cpu.memory_stats()["in_use"]
    exports = []
    monkeypatch.setitem(sys.modules, "keeper", SimpleNamespace(from_dlpack=exports.append))
    ops.softmax(type("Kept", (Foreign,), {"__module__": "keeper"})(x))
    capsules = [exports[0].__dlpack__(max_version=(1, 0)), exports[0].__dlpack__()]
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    assert [name(capsule) for capsule in capsules] == [b"dltensor_versioned", b"dltensor"]
    exports.clear()
    assert _cpu.memory_stats()["in_use"] > before
    capsules.clear()
    assert _cpu.memory_stats()["in_use"] == before


def test_huge_views_are_sized_in_64_bits():
    """2^31 elements and more, by a stride of zero: read without touching that much memory."""
    big = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (2**31 + 8, 1), (0, 4))
    with pytest.raises(ValueError, match="out: expected shape"):
        ops.softmax(big, out=np.zeros((8, 1), np.float32))
