"""The CUDA cross_entropy through the emulator, against the float64 reference."""

import ml_dtypes
import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out
from tests.reference import cross_entropy as reference
from tests.tolerance import TINY, assert_close, compute_roundoff, roundoff

SOURCES = [KERNELS / "cross_entropy.cu"]
FLOAT32 = np.dtype(np.float32)
DTYPES = [FLOAT32, np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)]
REDUCTIONS = ["mean", "sum", "none"]
# Below a vector, odd (so that every row starts elsewhere), a warp's last row, a block's first.
SHAPES = [(1, 1), (6, 7), (9, 65), (3, 1024), (4, 1025), (3, 2600)]


def problem(rng, shape, dtype=FLOAT32, ignored=0.2):
    """Logits, targets with some ignored, class weights."""
    logits = rng.normal(0, 3, shape).astype(dtype)
    targets = rng.integers(0, shape[-1], shape[0])
    targets[rng.random(shape[0]) < ignored] = -100
    targets[0] = shape[-1] - 1
    return logits, targets, rng.uniform(0.5, 2, shape[-1]).astype(dtype)


def options_of(kind, weight):
    return {
        "plain": {},
        "weighted": {"weight": weight},
        "all": {"weight": weight, "label_smoothing": 0.1, "z_loss": 1e-2},
        "smoothed": {"label_smoothing": 0.25},
    }[kind]


def shared_args(logits, targets, options):
    return {
        "targets": targets,
        "class_weight": options.get("weight"),
        "rows": logits.shape[0],
        "n": logits.shape[1],
        "ignore_index": options.get("ignore_index", -100),
        "dtype": logits.dtype,
        "target_dtype": 3 if targets.dtype == np.int32 else 4,
    }


def totals(emulator, logits, targets, options, **how):
    return emulator.call(
        "pyllm_cuda_cross_entropy_totals", "CrossEntropyTotals", totals=Out((2,), FLOAT32),
        first_bad=Out((1,), np.int64), **shared_args(logits, targets, options), **how,
    )  # fmt: skip


def forward(emulator, logits, targets, options, **how):
    rows, n = logits.shape
    return emulator.call(
        "pyllm_cuda_cross_entropy_forward", "CrossEntropyForward", logits=logits,
        totals=totals(emulator, logits, targets, options)["totals"], losses=Out((rows,), FLOAT32),
        lse=Out((rows,), FLOAT32), logits_row_stride=n,
        label_smoothing=options.get("label_smoothing", 0), z_loss=options.get("z_loss", 0),
        **shared_args(logits, targets, options), **how,
    )  # fmt: skip


def reduce(emulator, losses, weights, mean, **how):
    return emulator.call(
        "pyllm_cuda_cross_entropy_reduce", "CrossEntropyReduce", losses=losses, totals=weights,
        loss=Out((1,), FLOAT32), rows=losses.size, mean=mean, **how,
    )  # fmt: skip


def backward(
    emulator, logits, targets, lse, options, reduction="mean", grad=None, scale=1.0,
    dlogits_row_stride=None, **how,
):  # fmt: skip
    rows, n = logits.shape
    stride = n if dlogits_row_stride is None else dlogits_row_stride
    got = emulator.call(
        "pyllm_cuda_cross_entropy_backward", "CrossEntropyBackward", logits=logits,
        totals=totals(emulator, logits, targets, options)["totals"], lse=lse, grad=grad,
        dlogits=Out((rows, stride), logits.dtype), logits_row_stride=n, dlogits_row_stride=stride,
        label_smoothing=options.get("label_smoothing", 0), z_loss=options.get("z_loss", 0),
        grad_scale=scale, grad_per_row=reduction == "none" and grad is not None,
        mean=reduction == "mean", **shared_args(logits, targets, options), **how,
    )  # fmt: skip
    got.outputs["dlogits"] = got["dlogits"][:, :n]
    return got


def check_losses(got, logits, targets, options):
    expected, _, _ = reference.rows(logits, targets, **options)
    top = 2 * np.abs(np.asarray(logits, np.float64)).max(initial=1.0) + 10
    # The error of a row is a few roundings of its largest logit (and lse); squared in the z-loss.
    scale = 2 * top * (1 + options.get("z_loss", 0) * top)
    assert_close(got, expected, ops=8 + np.sqrt(logits.shape[1]) / 4, scale=scale)


def check_gradient(got, logits, targets, options, share=1.0):
    _, expected, _ = reference.rows(logits, targets, **options)
    expected = expected * share
    top = 2 * np.abs(np.asarray(logits, np.float64)).max(initial=1.0) + 10
    # An error of the exponent, which grows with the logits, is a relative error of p <= 1.
    error = 2 * compute_roundoff(logits.dtype) * (8 + top) * 4 * np.abs(share)
    error = error + 1.01 * roundoff(logits.dtype) * np.abs(expected) + TINY[logits.dtype]
    assert (np.abs(got.astype(np.float64) - expected) <= error).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", ["plain", "weighted", "all", "smoothed"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows(emulator_for, rng, shape, kind, dtype):
    emulator = emulator_for("plain", SOURCES)
    logits, targets, weight = problem(rng, shape, dtype)
    options = options_of(kind, weight)
    got = forward(emulator, logits, targets, options)
    check_losses(got["losses"], logits, targets, options)
    lse = np.where(targets == -100, 0, reference.log_sum_exp(logits.astype(np.float64)))
    assert_close(got["lse"], lse, ops=16, scale=15 + np.abs(lse))
    dx = backward(emulator, logits, targets, got["lse"], options, reduction="sum")["dlogits"]
    check_gradient(dx, logits, targets, options)
    np.testing.assert_array_equal(dx[targets == -100], 0)


def test_a_vocabulary_of_50257(emulator_for, rng):
    """GPT-2's: odd, so that no two neighbouring rows are aligned alike."""
    emulator = emulator_for("plain", SOURCES)
    logits, targets, weight = problem(rng, (3, 50257), np.dtype(ml_dtypes.bfloat16))
    options = options_of("all", weight)
    got = forward(emulator, logits, targets, options)
    check_losses(got["losses"], logits, targets, options)
    dx = backward(emulator, logits, targets, got["lse"], options, reduction="sum")["dlogits"]
    check_gradient(dx, logits, targets, options)


@pytest.mark.parametrize("target_dtype", [np.int32, np.int64])
@pytest.mark.parametrize("kind", ["plain", "all"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions(emulator_for, rng, reduction, kind, target_dtype):
    emulator = emulator_for("plain", SOURCES)
    logits, targets, weight = problem(rng, (1100, 5))
    targets = targets.astype(target_dtype)
    options = options_of(kind, weight)
    sums = totals(emulator, logits, targets, options)
    _, _, weights = reference.rows(logits, targets, **options)
    class_weights = options.get("weight", np.ones(5))
    np.testing.assert_allclose(sums["totals"], [weights.sum(), class_weights.sum()], rtol=1e-6)
    assert sums["first_bad"] == -1
    got = forward(emulator, logits, targets, options)
    if reduction != "none":
        loss = reduce(emulator, got["losses"], sums["totals"], reduction == "mean")["loss"]
        expected, _ = reference.cross_entropy(logits, targets, reduction, **options)
        np.testing.assert_allclose(loss[0], expected, rtol=1e-5)
    grad = rng.normal(size=1100 if reduction == "none" else 1).astype(FLOAT32)
    dx = backward(
        emulator, logits, targets, got["lse"], options, reduction, grad=grad, scale=0.5
    )["dlogits"]  # fmt: skip
    share = 0.5 * grad.astype(np.float64)[:, None]
    if reduction == "mean":
        share = share / weights.sum()
    check_gradient(dx, logits, targets, options, share)


def test_all_ignored(emulator_for):
    emulator = emulator_for("plain", SOURCES)
    logits, targets = np.full((3, 1030), np.nan, FLOAT32), np.full(3, 7)
    options = {"ignore_index": 7, "label_smoothing": 0.1}
    got = forward(emulator, logits, targets, options)
    np.testing.assert_array_equal(got["losses"], 0)
    np.testing.assert_array_equal(got["lse"], 0)
    sums = totals(emulator, logits, targets, options)["totals"]
    assert np.isnan(reduce(emulator, got["losses"], sums, True)["loss"])
    assert reduce(emulator, got["losses"], sums, False)["loss"] == 0
    dx = backward(emulator, logits, targets, got["lse"], options)["dlogits"]
    np.testing.assert_array_equal(dx, 0)


@pytest.mark.parametrize("n", [3, 1030])
def test_a_target_out_of_range_is_named_and_gives_nan(emulator_for, n):
    emulator = emulator_for("asan", SOURCES)
    logits, targets = np.zeros((5, n), FLOAT32), np.array([0, -100, n, -1, 2])
    assert totals(emulator, logits, targets, {})["first_bad"] == 2
    got = forward(emulator, logits, targets, {})
    np.testing.assert_array_equal(np.isnan(got["losses"]), [False, False, True, True, False])
    dx = backward(emulator, logits, targets, got["lse"], {})["dlogits"]
    np.testing.assert_array_equal(np.isnan(dx).all(1), [False, False, True, True, False])


@pytest.mark.parametrize("n", [4, 1030])
def test_infinities_and_nan(emulator_for, n):
    emulator = emulator_for("plain", SOURCES)
    logits = np.full((4, n), -np.inf, FLOAT32)
    logits[0, [1, 2]] = 0
    logits[1, 1] = 0
    logits[2, 1] = np.nan
    targets = np.array([1, 0, 1, 1])  # the fourth row has no probability anywhere
    got = forward(emulator, logits, targets, {})
    assert got["losses"][0] == pytest.approx(np.log(2))
    assert got["losses"][1] == np.inf
    assert np.isnan(got["losses"][2:]).all()
    dx = backward(emulator, logits, targets, got["lse"], {}, "sum")["dlogits"]
    np.testing.assert_allclose(dx[0, :4], [0, -0.5, 0.5, 0], atol=1e-6)
    np.testing.assert_array_equal(dx[1, :3], [-1, 1, 0])
    assert np.isnan(dx[2:]).any(1).all()


def test_the_maximum_may_come_late(emulator_for):
    """Each thread's maximum rises all the way: its sum is rescaled at every step."""
    logits = np.linspace(-200, 200, 9001, dtype=FLOAT32)[None]
    for row in (logits, logits[:, ::-1].copy()):
        got = forward(emulator_for("plain", SOURCES), row, np.array([4500]), {})
        check_losses(got["losses"], row, np.array([4500]), {})


def test_rows_of_gradients_elsewhere_than_rows_of_logits(emulator_for, rng):
    """Strides that put the two at different distances from a multiple of 16 bytes."""
    logits, targets, weight = problem(rng, (5, 1033))
    options = options_of("all", weight)
    lse = forward(emulator_for("plain", SOURCES), logits, targets, options)["lse"]
    for stride in (1034, 1037):
        dx = backward(
            emulator_for("plain", SOURCES), logits, targets, lse, options, "sum",
            dlogits_row_stride=stride,
        )["dlogits"]  # fmt: skip
        check_gradient(dx, logits, targets, options)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    emulator = emulator_for(variant, SOURCES)
    for n in (33, 1027):
        logits, targets, weight = problem(rng, (3, n))
        options = options_of("all", weight)
        given = (logits, targets, options)
        lse = forward(emulator, *given)["lse"]
        ones = np.ones(2, FLOAT32)
        how = {"order": order, "order_seed": n}
        for call, args in (
            (totals, given),
            (forward, given),
            (reduce, (logits[0], ones, 1)),
            (backward, (logits, targets, lse, options)),
        ):
            expected = call(emulator, *args)
            got = call(emulator, *args, **how)
            for name, array in expected.outputs.items():
                np.testing.assert_array_equal(got[name], array)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("n", [1024, 4096])
def test_logits_are_read_once(emulator_for, rng, n, dtype):
    emulator = emulator_for("plain", SOURCES)
    logits, targets, _ = problem(rng, (4, n), dtype, ignored=0)
    threads = 32 if n == 1024 else 256
    got = forward(emulator, logits, targets, {}, counted=True)
    (counts,) = got.kernels.values()
    # Every thread asks for its row's target; one for the logit of the target.
    assert counts["global_read_bytes"] == logits.nbytes + 4 * (8 * threads + dtype.itemsize)
    assert counts["global_write_bytes"] == 4 * 2 * 4
    assert counts["sectors"] == logits.nbytes // 32 + 4 * (threads // 32 + 3)
    assert counts["wavefronts"] == counts["ideal_wavefronts"]

    (counts,) = backward(
        emulator, logits, targets, got["lse"], {}, "sum", counted=True
    ).kernels.values()  # fmt: skip
    assert counts["global_read_bytes"] == logits.nbytes + 4 * threads * (8 + 4)
    assert counts["global_write_bytes"] == logits.nbytes
    assert counts["sectors"] == 2 * logits.nbytes // 32 + 4 * 2 * threads // 32
    assert counts["barriers"] == 0


def test_ignored_rows_are_not_read(emulator_for, rng):
    logits, targets = np.zeros((8, 512), FLOAT32), np.full(8, -100)
    emulator = emulator_for("plain", SOURCES)
    (counts,) = forward(emulator, logits, targets, {}, counted=True).kernels.values()
    assert counts["global_read_bytes"] == 8 * 32 * 8
    (counts,) = backward(
        emulator, logits, targets, logits[:, 0].copy(), {}, counted=True
    ).kernels.values()  # fmt: skip
    assert counts["global_read_bytes"] == 8 * 32 * 8
    assert counts["global_write_bytes"] == logits.nbytes


@pytest.mark.parametrize("shape", [(0, 5), (2, 0)])
def test_empty(emulator_for, shape):
    emulator = emulator_for("plain", SOURCES)
    logits, targets = np.zeros(shape, FLOAT32), np.zeros(shape[0], np.int64)
    sums = totals(emulator, logits, targets, {})
    assert sums["first_bad"] == (-1 if shape[0] == 0 else 0)
    losses = forward(emulator, logits, targets, {})["losses"]
    assert np.isnan(losses).all()
    assert np.isnan(reduce(emulator, losses, sums["totals"], True)["loss"])
    assert backward(emulator, logits, targets, losses, {})["dlogits"].shape == shape


@pytest.mark.parametrize(
    "bad", [{"rows": -1}, {"n": -1}, {"dtype": 9}, {"target_dtype": 0}, {"label_smoothing": 1.5},
            {"label_smoothing": np.nan}, {"z_loss": -1.0}], ids=str,
)  # fmt: skip
def test_bad_arguments_are_refused(emulator_for, bad):
    logits, targets = np.zeros((2, 4), FLOAT32), np.zeros(2, np.int64)
    args = {
        **shared_args(logits, targets, {}), "logits": logits, "totals": np.ones(2, FLOAT32),
        "losses": Out((2,), FLOAT32), "lse": Out((2,), FLOAT32), "logits_row_stride": 4,
        "label_smoothing": 0, "z_loss": 0,
    }  # fmt: skip
    with pytest.raises(CudaError, match="error 1"):
        emulator_for("plain", SOURCES).call(
            "pyllm_cuda_cross_entropy_forward", "CrossEntropyForward", **{**args, **bad}
        )
