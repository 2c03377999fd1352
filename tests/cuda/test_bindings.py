"""pyllm._cuda over the emulator: streams, devices, ownership, and what goes wrong on a device."""

import gc
import sys
import types

import ml_dtypes
import numpy as np
import pytest

from pyllm import cuda, ops
from tests.cuda.emulator.module import Runtime, emulated_module
from tests.cuda.foreign import Foreign

LEGACY = 1


class Described:
    """A framework with __cuda_array_interface__ alone, as Numba."""

    def __init__(self, array, stream=None, **changes):
        self.array = array
        self.__cuda_array_interface__ = {
            **array.__cuda_array_interface__,
            "stream": stream,
            **changes,
        }


@pytest.fixture(scope="module")
def runtime():
    return Runtime()


@pytest.fixture
def module(runtime, monkeypatch):
    """The emulated module, which `pyllm.ops` dispatches to; nothing may stay allocated."""
    loaded = emulated_module()
    monkeypatch.setattr(cuda, "extension", lambda: loaded)
    gc.collect()
    before = runtime.in_use
    runtime.log()
    yield loaded
    gc.collect()
    assert runtime.in_use == before


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 8)).astype(np.float32)


def test_arrays_go_there_and_back(module, rng):
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16, np.int64, np.bool_):
        given = (rng.normal(size=(2, 3, 5)) * 3).astype(dtype)
        made = cuda.to_device(given.transpose(2, 0, 1)[::-1])
        assert made.shape == (5, 2, 3)
        assert made.dtype == given.dtype
        np.testing.assert_array_equal(made.numpy(), given.transpose(2, 0, 1)[::-1])
    strided = cuda.to_device(np.arange(24.0)).as_strided((3, 4), (1, 6), 2)
    np.testing.assert_array_equal(strided.numpy(), 2 + np.add.outer(range(3), 6 * np.arange(4)))
    with pytest.raises(ValueError, match="reaches past the array's 24 elements"):
        cuda.to_device(np.arange(24.0)).as_strided((5,), (6,))
    with pytest.raises(ValueError, match="reaches past"):
        cuda.to_device(np.arange(24.0)).as_strided((5,), (-1,), 3)
    part = strided.as_strided((2, 2), (-1, 12), 1)
    np.testing.assert_array_equal(part.numpy(), [[3, 15], [2, 14]])
    with pytest.raises(ValueError, match="reaches past"):
        strided.as_strided((2,), (1,), 20)
    with pytest.raises(ValueError, match="reaches past"):
        strided.as_strided((2,), (-1,), 0)


def test_results_are_of_the_callers_kind(module, x):
    expected = ops.softmax(x)
    own = ops.softmax(cuda.to_device(x))
    assert isinstance(own, module.DeviceArray)
    np.testing.assert_allclose(own.numpy(), expected, rtol=1e-6)
    foreign = ops.softmax(Foreign(cuda.to_device(x)))
    assert isinstance(foreign, Foreign)
    np.testing.assert_array_equal(foreign.array.numpy(), own.numpy())
    described = ops.softmax(Described(cuda.to_device(x)))
    assert isinstance(described, module.DeviceArray)
    np.testing.assert_array_equal(described.numpy(), own.numpy())


def test_a_capsule_keeps_its_memory(module, runtime, x):
    made = cuda.to_device(x)
    used = runtime.in_use
    again = module.from_dlpack(made)
    del made
    assert runtime.in_use == used
    np.testing.assert_array_equal(again.numpy(), x)
    capsule = again.__dlpack__(max_version=(1, 0))
    del again
    assert runtime.in_use == used
    del capsule  # nobody took it
    assert runtime.in_use < used


def test_a_framework_hears_our_stream_and_is_waited_for(module, runtime, x):
    given = Foreign(cuda.to_device(x))
    ops.softmax(given)
    assert given.asked == [LEGACY]
    assert ("synchronize", LEGACY, 0) in runtime.log()


def test_the_current_stream_of_torch(module, runtime, x, monkeypatch):
    stream = runtime.make_stream()
    fake = types.ModuleType("torch")
    current = types.SimpleNamespace(cuda_stream=stream)
    fake.cuda = types.SimpleNamespace(current_stream=lambda device: current)
    tensor_type = type("Tensor", (Foreign,), {"__module__": "torch"})
    fake.from_dlpack = lambda exported: tensor_type(module.from_dlpack(exported))
    monkeypatch.setitem(sys.modules, "torch", fake)
    given = tensor_type(cuda.to_device(x))
    runtime.log()
    result = ops.softmax(given)
    assert type(result) is tensor_type
    assert given.asked == [stream]
    # Torch orders its own work on that stream: nothing to wait for, and no time lost waiting.
    assert [line for line in runtime.log() if line[0] == "synchronize"] == []
    np.testing.assert_allclose(result.array.numpy(), ops.softmax(x), rtol=1e-6)
    current.cuda_stream = 0  # torch's name for the legacy default stream
    ops.softmax(given)
    assert given.asked[-1] == LEGACY


def test_streams_of_other_arrays_come_before_and_wait_after(module, runtime, x):
    first, second = runtime.make_stream(), runtime.make_stream()
    gate, up = cuda.to_device(x), cuda.to_device(x)
    runtime.log()
    result = ops.swiglu(Described(gate, first), Described(up, second))
    log = runtime.log()
    before, after = ("wait", first, second), ("wait", second, first)
    assert log.index(before) < log.index(after)
    # The result is ready on the stream it was made on; who reads on another waits for it.
    assert result.__cuda_array_interface__["stream"] == first
    result.__dlpack__(stream=second)
    assert runtime.log() == [("wait", second, first)]
    result.__dlpack__(stream=-1)
    result.__dlpack__(stream=first)
    assert runtime.log() == []
    result.__dlpack__()
    assert runtime.log() == [("wait", LEGACY, first)]
    with pytest.raises(ValueError, match="stream: expected 1"):
        result.__dlpack__(stream=0)


def test_mixed_devices(module, x):
    here, there = cuda.to_device(x), cuda.to_device(x, 1)
    assert there.__dlpack_device__() == (2, 1)
    assert ops.softmax(there).device == 1
    for other in (there, Foreign(there), Described(there)):
        with pytest.raises(ValueError, match=r"up: .* CUDA device 0.* got one on CUDA device 1"):
            ops.swiglu(here, other)
    with pytest.raises(TypeError, match="up: expected an array on CUDA device 0"):
        ops.swiglu(here, [1.0])
    with pytest.raises(ValueError, match=r"up: .* on the CPU"):
        ops.swiglu(here, x)
    with pytest.raises(ValueError, match="up: is not in CPU memory"):
        ops.swiglu(x, here)
    with pytest.raises(RuntimeError, match="choosing a device"):
        cuda.to_device(x, 7)


def test_a_stream_of_another_device(module, runtime, x):
    stream = runtime.make_stream(device=1)
    with pytest.raises(ValueError, match=r"x is on device 0, but .* belongs to device 1"):
        ops.softmax(Described(cuda.to_device(x), stream))


def test_unsupported_dtypes_and_ops(module, x):
    with pytest.raises(TypeError, match=r"x: the CUDA kernels take float32.*CPU only"):
        ops.softmax(cuda.to_device(x.astype(np.float64)))
    with pytest.raises(TypeError, match="x: expected float32"):
        ops.softmax(cuda.to_device(np.ones(3, np.int32)))
    with pytest.raises(NotImplementedError, match="tree_goss has no CUDA kernel"):
        _ = module.tree_goss
    assert not hasattr(module, "__wrapped__")  # what inspection asks for stays an AttributeError


def test_head_dims_that_do_not_fit(module):
    def heads(dim):
        return cuda.to_device(np.zeros((1, 2, 1, dim), np.float32))

    limits = "expected a head_dim from 1 to 256, which is what the CUDA kernels take, got shape"
    q, lse = heads(257), cuda.to_device(np.zeros((1, 1, 2), np.float32))
    with pytest.raises(ValueError, match=limits):
        ops.attention(q, q, q)
    with pytest.raises(ValueError, match=limits):
        ops.attention_backward(q, q, q, q, q, lse)
    with pytest.raises(ValueError, match=limits):
        ops.attention_decode(heads(257), q, q, cuda.to_device(np.array([2], np.int64)))


def test_out_is_checked_and_kept(module, x):
    given, out = cuda.to_device(x), cuda.to_device(np.empty_like(x))
    assert ops.softmax(given, out=out) is out
    np.testing.assert_allclose(out.numpy(), ops.softmax(x), rtol=1e-6)
    with pytest.raises(ValueError, match="out: is read-only"):
        ops.softmax(given, out=out.as_strided((3, 8), (8, 1), writable=False))
    with pytest.raises(ValueError, match="out: elements overlap"):
        ops.softmax(given, out=out.as_strided((3, 8), (0, 1)))
    with pytest.raises(ValueError, match="out: expected shape"):
        ops.softmax(given, out=cuda.to_device(x[:2]))
    part = given.as_strided((3, 7), (8, 1))
    with pytest.raises(ValueError, match="out: overlaps the memory of x"):
        ops.softmax(part, out=given.as_strided((3, 7), (8, 1), 1))


def test_no_memory(module, runtime, x):
    given = cuda.to_device(x)
    used = runtime.in_use
    runtime.set_memory_limit(used + 16)
    try:
        with pytest.raises(MemoryError, match="96 bytes on device 0"):
            ops.softmax(given)
        assert runtime.in_use == used
    finally:
        runtime.set_memory_limit(1 << 30)
    np.testing.assert_allclose(ops.softmax(given).numpy(), ops.softmax(x), rtol=1e-6)


def test_no_memory_for_a_workspace_frees_the_output(module, runtime, rng):
    x = cuda.to_device(rng.normal(size=(64, 64)).astype(np.float32))
    turned = x.as_strided((64, 64), (1, 64))
    used = runtime.in_use
    runtime.set_memory_limit(used + 64 * 64 * 4 + 16)
    try:
        with pytest.raises(MemoryError):
            ops.softmax(turned)
    finally:
        runtime.set_memory_limit(1 << 30)
    assert runtime.in_use == used


@pytest.mark.parametrize(
    ("devices", "driver", "said"),
    [
        (0, 13000, "no: "),
        (2, 0, "no: no NVIDIA driver was found"),
        (2, 12040, "no: the NVIDIA driver supports CUDA 12.4, this build needs 13.0; update"),
    ],
)
def test_no_device(module, runtime, x, devices, driver, said):
    given = cuda.to_device(x)
    assert cuda.describe().startswith("yes: emulated device (sm_80")
    runtime.set_devices(devices)
    runtime.set_driver(driver)
    try:
        assert cuda.describe().startswith(said)
        assert not cuda.is_available()
        with pytest.raises(RuntimeError, match="CUDA"):
            ops.softmax(given)
    finally:
        runtime.set_devices(2)
        runtime.set_driver(13000)
    assert cuda.is_available()


def test_what_the_interface_cannot_say(module, x):
    assert not hasattr(cuda.to_device(x.astype(ml_dtypes.bfloat16)), "__cuda_array_interface__")
    given = cuda.to_device(x)
    with pytest.raises(TypeError, match="x: masked arrays"):
        ops.softmax(Described(given, mask=given))
    with pytest.raises(ValueError, match="x: strides must be multiples"):
        ops.softmax(Described(given, strides=(33, 4)))
    with pytest.raises(ValueError, match="points outside device memory"):
        ops.softmax(Described(given, data=(x.ctypes.data, False)))
    turned = Described(given, shape=(8, 3), strides=(4, 32))
    np.testing.assert_allclose(ops.softmax(turned).numpy(), ops.softmax(x.T), rtol=1e-6)
    empty = Described(given, shape=(0, 3), strides=None, data=(0, False))
    with pytest.raises(ValueError, match="points outside device memory"):
        ops.softmax(empty)
    assert ops.swiglu(given.as_strided((0, 3), (3, 1)), empty).shape == (0, 3)


def test_without_the_extension(monkeypatch, x):
    monkeypatch.setattr(cuda, "extension", lambda: None)
    with pytest.raises(RuntimeError, match="built without CUDA"):
        cuda.to_device(x)
    assert not cuda.is_available()

    class Elsewhere:
        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(TypeError, match=r"DLPack device type 2 .* built without CUDA"):
        ops.softmax(Elsewhere())
