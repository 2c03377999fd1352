"""What reaches the driver: which machine code, its arguments, geometry and stream; and errors."""

import gc
import os
import subprocess
import sys

import numpy as np
import pytest

from pyllm import cuda, ops
from tests.cuda.emulator.build import build_module, build_triton_table
from tests.cuda.emulator.module import Runtime
from tests.triton.embedded.driver import table

LEGACY = 1


class OnStream:
    """An array whose framework works on a stream of its own."""

    def __init__(self, array, stream):
        self.array = array
        self.__cuda_array_interface__ = array.__cuda_array_interface__ | {"stream": stream}


def address(array):
    return array.__cuda_array_interface__["data"][0]


def device(*shape):
    return cuda.to_device(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def test_a_launch(driver):
    x = device(7, 512)
    y = ops.softmax(x, temperature=4.0)
    (launch,) = driver.launched
    assert launch.function == "softmax_forward_kernel"
    assert (launch.grid, launch.block) == ((2, 1, 1), (256, 1, 1))  # 4 rows of up to 1024 a program
    assert launch.shared == table()[launch.number][2][90][0]["shared"]
    assert launch.stream == LEGACY
    assert launch.values == {
        "x": address(x), "y": address(y), "M": 7, "n": 512, "inverse": 0.25,
        "x_outer": 512, "x_inner": 512, "y_outer": 512, "y_inner": 512,
    }  # fmt: skip
    assert launch.scratch == (0, 0)


def test_the_stream_of_the_caller(driver):
    stream = Runtime().make_stream()
    ops.softmax(OnStream(device(2, 512), stream))
    assert driver.launched[0].stream == stream


@pytest.mark.parametrize(
    ("capability", "chosen"),
    [((8, 0), 80), ((8, 6), 80), ((8, 9), 80), ((9, 0), 90), ((10, 0), 100)],
)
def test_machine_code_by_device(driver, capability, chosen):
    driver.set_device(*capability, shared=99 << 10)
    ops.softmax(device(2, 256))
    assert driver.launched[0].capability == chosen


@pytest.mark.parametrize("capability", [(7, 5), (10, 3), (12, 0)])
def test_a_device_nothing_was_compiled_for(driver, capability):
    driver.set_device(*capability)
    with pytest.raises(RuntimeError, match=r"8\.x, 9\.0 and 10\.0, this device has {}\.{}".format(
            *capability)):  # fmt: skip
        ops.softmax(device(2, 256))


def test_a_module_is_loaded_once(driver):
    x = device(3, 4096)
    ops.log_softmax(x, temperature=3.0)
    driver.log()
    before = driver.modules
    ops.log_softmax(x, temperature=3.0)
    assert driver.modules == before
    assert driver.log() == []
    assert len(driver.launched) == 2


@pytest.mark.parametrize(
    "x",
    [
        lambda: device(3, 500),  # not a multiple of 16
        lambda: device(3 * 512 + 1).as_strided((3, 512), (512, 1), 1),  # not on 16 bytes
        lambda: device(3 * 520).as_strided((3, 512), (520, 1)),  # rows not on 16 elements
    ],
    ids=["size", "address", "stride"],
)
def test_the_cuda_kernels_take_what_does_not_suit(driver, x):
    given = x()
    with ops.use_backend("auto"):
        expected = ops.softmax(given).numpy()
    np.testing.assert_array_equal(ops.softmax(given).numpy(), expected)
    assert driver.launched == []


def test_ops_without_an_embedded_kernel_are_the_cuda_kernels(driver):
    ids = cuda.to_device(np.array([1, 0]))
    weight = device(3, 4)
    np.testing.assert_array_equal(ops.embedding(ids, weight).numpy()[0], weight.numpy()[1])
    assert driver.launched == []


def test_too_little_shared_memory(driver):
    driver.set_device(9, 0, shared=16)
    ops.softmax(device(2, 256))
    assert driver.launched == []


def test_nothing_to_do(driver):
    assert ops.softmax(device(0, 512)).shape == (0, 512)
    assert driver.launched == []


@pytest.mark.parametrize("function", ["cuModuleLoadData", "cuModuleGetFunction", "cuLaunchKernel"])
def test_errors_of_the_driver(driver, function):
    runtime = Runtime()
    capability = {"cuModuleLoadData": (8, 0), "cuModuleGetFunction": (10, 0)}.get(function, (9, 0))
    driver.set_device(*capability)
    dy, y = device(2, 8208), device(2, 8208)  # a kernel that no other test loads
    modules, memory = driver.modules, runtime.in_use
    driver.fail(function, 500)
    with pytest.raises(RuntimeError, match=r"CUDA driver: .*softmax_backward.*not found \(500\)"):
        ops.softmax_backward(dy, y)
    gc.collect()
    assert runtime.in_use == memory
    assert driver.modules == modules + (function == "cuLaunchKernel")
    driver.fail("", 0)
    ops.softmax_backward(dy, y)  # as if nothing had been
    assert len(driver.launched) == 1


def test_shared_memory_beyond_48_kib_is_asked_for(driver):
    large = [e for e, _, images in table() if images[90][0]["shared"] > 48 << 10]
    assert large == []  # a kernel that needs it belongs into this test


def test_says_so_where_there_is_no_driver(driver):
    script = (
        "import sys, numpy as np\n"
        "from importlib.util import module_from_spec, spec_from_file_location\n"
        "spec = spec_from_file_location('_cuda_emulated', sys.argv[1])\n"
        "module = module_from_spec(spec); spec.loader.exec_module(module)\n"
        "print(module.triton.describe())\n"
        "module.triton.softmax(module.to_device(np.ones((2, 512), np.float32)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(build_module())],
        env={**os.environ, "PYLLM_CUDA_DRIVER": "/nowhere/libcuda.so",
             "PYLLM_EMULATED_TRITON": str(build_triton_table())},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == f"yes: {len(table())} kernels for sm_80 sm_90 sm_100\n"
    assert "RuntimeError: CUDA: no NVIDIA driver was found (/nowhere/libcuda.so)" in done.stderr
