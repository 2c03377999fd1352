"""Launches run through Triton's interpreter with the bytes that the driver got: the same numbers as
the CUDA kernels. And every kernel of the table is one that some call launches."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from pyllm import cuda, ops
from tests.triton.embedded.driver import table

TOLERANCE = {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1.6e-2}
WIDTHS = (256, 1024, 4096, 4112)


@pytest.fixture
def draw():
    rng = np.random.default_rng(7)
    return lambda *shape, dtype=np.float32: rng.normal(size=shape).astype(np.float32).astype(dtype)


def numbers(result):
    if isinstance(result, tuple):
        return [numbers(r) for r in result]
    return result.numpy().astype(np.float64)


def both(driver, op, *arrays, **options):
    """The embedded kernel's result beside the CUDA kernel's."""
    arrays = [cuda.to_device(a) for a in arrays]
    with ops.use_backend("auto"):
        expected = op(*arrays, **options)
    driver.interpret = True
    return numbers(op(*arrays, **options)), numbers(expected)


def close(got, expected, dtype):
    if isinstance(got, list):
        for g, e in zip(got, expected, strict=True):
            close(g, e, dtype)
        return
    tolerance = TOLERANCE[np.dtype(dtype).name]
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", WIDTHS)
@pytest.mark.parametrize("log", [False, True], ids=["softmax", "log_softmax"])
def test_softmax(driver, draw, dtype, n, log):
    forward = ops.log_softmax if log else ops.softmax
    backward = ops.log_softmax_backward if log else ops.softmax_backward
    x, dy = draw(3, n, dtype=dtype), draw(3, n, dtype=dtype)
    close(*both(driver, forward, x, temperature=0.7), dtype)
    y = forward(cuda.to_device(x)).numpy()
    close(*both(driver, backward, dy, y, temperature=0.7), dtype)
    assert [launch.function[:15] for launch in driver.launched] == [
        "softmax_forward", "softmax_forward", "softmax_backwar"
    ]  # fmt: skip


@pytest.mark.parametrize("n", [1024, 4096, 4112])
@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_norms(driver, draw, dtype, n, statistics, residual):
    x, weight, bias, more = (draw(*s, dtype=dtype) for s in ((3, n), (n,), (n,), (3, n)))
    options = {"return_stats": statistics}
    if residual:
        options["residual"] = cuda.to_device(more)
    close(*both(driver, ops.layer_norm, x, weight, bias, **options), dtype)
    close(*both(driver, ops.rms_norm, x, weight, **options), dtype)
    assert len(driver.launched) == 2


ACTIVATIONS = [
    (ops.relu, ops.relu_backward, {}),
    (ops.gelu, ops.gelu_backward, {}),
    (ops.gelu, ops.gelu_backward, {"approximate": "tanh"}),
    (ops.silu, ops.silu_backward, {}),
]
UNITS = [(ops.swiglu, {}), (ops.geglu, {}), (ops.geglu, {"approximate": "tanh"})]


@pytest.mark.parametrize("shape", [(3, 48), (5, 1040)])
def test_activations(driver, draw, dtype, shape):
    x, dy = draw(*shape, dtype=dtype), draw(*shape, dtype=dtype)
    bias = cuda.to_device(draw(shape[-1], dtype=dtype))
    for forward, backward, options in ACTIVATIONS:
        close(*both(driver, forward, x, **options), dtype)
        close(*both(driver, forward, x, bias=bias, **options), dtype)
        close(*both(driver, backward, dy, x, **options), dtype)
    for forward, options in UNITS:
        close(*both(driver, forward, dy, x, **options), dtype)
    assert len(driver.launched) == 15


def steps(draw, dtype, grad_dtype, master, n=2064):
    """Named calls of each optimizer on fresh buffers: (op, buffers, options)."""
    state = lambda: np.abs(draw(n))  # noqa: E731
    common = {"lr": 0.01, "weight_decay": 0.1, "grad_scale": 0.5}
    param, grad = draw(n, dtype=dtype), draw(n, dtype=grad_dtype)
    extra = {"master": param.astype(np.float32)} if master else {}
    for largest in (False, True):
        more = extra | ({"max_exp_avg_sq": state()} if largest else {})
        buffers = {"param": param, "grad": grad, "exp_avg": draw(n), "exp_avg_sq": state(), **more}
        yield ops.adamw_step, buffers, common | {"step": 3}
        yield ops.adam_step, buffers, common | {"step": 3}
    buffers = {"param": param, "grad": grad, **extra}
    yield ops.sgd_step, buffers, common
    for first, nesterov in itertools.product((False, True), repeat=2):
        options = common | {"momentum": 0.9, "first": first, "nesterov": nesterov}
        yield ops.sgd_step, buffers | {"momentum_buffer": draw(n)}, options
    yield ops.lion_step, buffers | {"exp_avg": draw(n)}, common


def optimizer_cases():
    for storage in (np.float32, np.float16, ml_dtypes.bfloat16):
        wide = (False,) if storage is np.float32 else (False, True)
        for master, wide_grad in itertools.product(wide, wide):
            yield storage, np.float32 if wide_grad else storage, master


@pytest.mark.parametrize(("storage", "grad_dtype", "master"), [*optimizer_cases()])
def test_optimizers(driver, draw, storage, grad_dtype, master):
    driver.interpret = True
    for op, buffers, options in steps(draw, storage, grad_dtype, master):
        after = {}
        for backend in ("auto", "triton"):
            arrays = {name: cuda.to_device(a) for name, a in buffers.items()}
            with ops.use_backend(backend):
                op(**arrays, **options)
            after[backend] = {name: numbers(a) for name, a in arrays.items()}
        for name in buffers:
            dtype = storage if name == "param" else np.float32
            close(after["triton"][name], after["auto"][name], dtype)
    assert len(driver.launched) == 10


def test_every_kernel_is_launched_by_something(driver, draw):
    for dtype in (np.float32, np.float16, ml_dtypes.bfloat16):
        for n in WIDTHS:
            x, weight = (cuda.to_device(draw(*s, dtype=dtype)) for s in ((2, n), (n,)))
            for op in (ops.softmax, ops.log_softmax):
                op(x)
            for op in (ops.softmax_backward, ops.log_softmax_backward):
                op(x, x)
            for statistics, residual in itertools.product((True, False), (None, x)):
                options = {"return_stats": statistics, "residual": residual}
                ops.layer_norm(x, weight, weight, **options)
                ops.rms_norm(x, weight, **options)
        x = cuda.to_device(draw(2, 16, dtype=dtype))
        bias = cuda.to_device(draw(16, dtype=dtype))
        for forward, backward, options in ACTIVATIONS:
            forward(x, **options), forward(x, bias=bias, **options), backward(x, x, **options)
        for forward, options in UNITS:
            forward(x, x, **options)
    for case in optimizer_cases():
        for op, buffers, options in steps(draw, *case, n=16):
            op(**{name: cuda.to_device(a) for name, a in buffers.items()}, **options)
    idle = set(range(len(table()))) - {launch.number for launch in driver.launched}
    assert sorted(table()[i][0]["name"] for i in idle) == []
