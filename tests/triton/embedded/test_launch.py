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


def halves(*shape, dtype=np.float16):
    return cuda.to_device(np.random.default_rng(0).normal(size=shape).astype(dtype))


def test_shared_memory_beyond_48_kib_is_asked_for(driver):
    driver.next_context()
    q, kv = halves(1, 40, 4, 128), halves(1, 60, 2, 128)
    ops.attention(q, kv, kv, causal=True)
    (launch,) = driver.launched
    assert launch.shared > 48 << 10
    assert driver.log() == ["load", "function attention_forward_kernel",
                            f"shared attention_forward_kernel {launch.shared}"]  # fmt: skip


def test_attention_by_its_options(driver):
    q, kv = halves(3, 300, 4, 64), halves(3, 500, 2, 64)
    ops.attention(q, kv, kv, window=(7, None))
    (launch,) = driver.launched
    constants = {p["name"]: p["value"] for p in table()[launch.number][0]["parameters"]
                 if p["kind"] == "constant"}  # fmt: skip
    assert launch.grid == (3 * 4 * -(-300 // constants["M"]), 1, 1)
    assert (constants["D"], constants["LEFT"], constants["RIGHT"]) == (64, 1, 1)
    expected = {"Tq": 300, "Tk": 500, "heads": 4, "group": 2, "left": 7, "right": 2**30,
                "q_batch": 300 * 256, "q_row": 256, "q_head": 64, "k_row": 128, "scale": 0.125,
                "lse_batch": 4 * 300, "lse_head": 300}  # fmt: skip
    assert {name: launch.values[name] for name in expected} == expected


def loss_arrays(**options):
    arrays = device(4, 32), device(48, 32), cuda.to_device(np.array([0, 1, 2, 3]))
    return arrays, {name: cuda.to_device(a) for name, a in options.items()}


def linear_loss(**options):
    arrays, options = loss_arrays(**options)
    return ops.linear_cross_entropy_forward_backward(*arrays, **options)


ONES = np.ones(48, np.float32)
LEFT_TO_CUDA = {
    "a weight of another type": lambda: ops.rms_norm(halves(2, 512), device(512)),
    "a gradient without a weight": lambda: ops.rms_norm_backward(
        device(2, 512), device(2, 512), None, device(2)
    ),
    "biases of a gated unit": lambda: ops.swiglu(
        device(2, 48), device(2, 48), gate_bias=device(48)
    ),
    "class weights": lambda: linear_loss(class_weight=ONES),
    "a bias of the logits": lambda: linear_loss(bias=ONES),
    "positions in 32 bits": lambda: ops.rotary(
        device(1, 3, 2, 64), device(9, 32), device(9, 32),
        positions=cuda.to_device(np.array([0, 1, 2], np.int32)),
    ),
    "wide heads of rotary": lambda: ops.rotary(
        device(1, 3, 2, 256), device(9, 128), device(9, 128)
    ),
    "attention in float32": lambda: ops.attention(*[device(1, 16, 2, 64)] * 3),
    "other head sizes": lambda: ops.attention(*[halves(1, 16, 2, 96)] * 3),
    "slopes": lambda: ops.attention(
        *[halves(1, 16, 2, 64)] * 3, alibi_slopes=cuda.to_device(np.ones(2, np.float32))
    ),
    "a bias of the scores": lambda: ops.attention(
        *[halves(1, 16, 2, 64)] * 3, bias=halves(16, 16)
    ),
    "dropout and a cap together": lambda: ops.attention(
        *[halves(1, 16, 2, 64)] * 3, softcap=2.0, dropout_p=0.5, seed=1
    ),
    "dropout of rows that are no fours": lambda: ops.attention(
        *[halves(1, 18, 2, 64)] * 3, dropout_p=0.5, seed=1
    ),
    "offsets in 64 bits": lambda: ops.attention(
        *[halves(16, 2, 64)] * 3, cu_seqlens_q=cuda.to_device(np.array([0, 7, 16]))
    ),
}  # fmt: skip


@pytest.mark.parametrize("call", LEFT_TO_CUDA.values(), ids=LEFT_TO_CUDA)
def test_options_without_an_embedded_kernel_are_the_cuda_kernels(driver, call):
    def numbers(result):
        return [r.numpy() for r in result if r is not None] if isinstance(result, tuple) else (
            result.numpy()
        )  # fmt: skip

    with ops.use_backend("auto"):
        expected = numbers(call())
    for got, wanted in zip(numbers(call()), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert driver.launched == []


def test_an_error_between_the_products_of_linear_cross_entropy(driver):
    (hidden, weight, targets), _ = loss_arrays()
    runtime = Runtime()
    gc.collect()
    memory = runtime.in_use
    driver.fail("cuLaunchKernel", 500)
    with pytest.raises(RuntimeError, match=r"CUDA driver: launching cross_entropy_forward_kernel"):
        ops.linear_cross_entropy_forward_backward(hidden, weight, targets)
    gc.collect()
    assert runtime.in_use == memory
    driver.fail("", 0)
    ops.linear_cross_entropy_forward_backward(hidden, weight, targets)
    assert len(driver.launched) == 2


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
