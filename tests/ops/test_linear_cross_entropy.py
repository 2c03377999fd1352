import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm import memory
from tests.backends import ops
from tests.reference import cross_entropy as reference
from tests.tolerance import compute_roundoff, roundoff


def problem(rng, rows, classes, width, dtype=np.float32):
    hidden = rng.normal(size=(*rows, width)).astype(dtype)
    weight = (rng.normal(size=(classes, width)) / np.sqrt(width)).astype(dtype)
    bias = rng.normal(size=classes).astype(dtype)
    targets = rng.integers(0, classes, rows)
    targets[rng.random(rows) < 0.2] = -100
    return hidden, weight, targets, bias


def assert_near(got, expected, dtype, terms, length, stored=0.0):
    """Errors of the logits (some 10 roundings, doubled in the exponent) and of a sum of `length`
    terms as large as `terms`; one rounding of the result, and one of each 16-bit gradient row.
    `stored`: the roundoff of the gradients of the logits, where they are kept in 16 bits."""
    error = (compute_roundoff(dtype) * (60 + 4 * np.sqrt(length)) + stored) * terms
    error = error + 1.01 * roundoff(got.dtype) * np.abs(expected) + 1e-45
    assert got.shape == np.shape(expected)
    assert (np.abs(got.astype(np.float64) - expected) <= error).all()


def check(got, hidden, weight, targets, bias, dtype, scale=1.0, stored=0.0, **options):
    loss, dhidden, dweight, dbias = got
    expected = reference.linear_cross_entropy(hidden, weight, targets, bias, **options)
    rows = max(1, targets.size)
    share = scale if options.get("reduction", "mean") != "mean" else scale / max(1, rows / 2)
    assert_near(loss, expected[0], dtype, 10 * (rows if share == scale else 1), 1)
    h, w = (np.abs(np.asarray(x, np.float64)).max(initial=1) for x in (hidden, weight))
    assert_near(dhidden, scale * expected[1], dtype, 2 * w * share, weight.shape[0], stored)
    assert_near(dweight, scale * expected[2], dtype, h * share * np.sqrt(rows), rows, stored)
    if bias is None:
        assert dbias is None
    else:
        assert_near(dbias, scale * expected[3], dtype, share * np.sqrt(rows), rows, stored)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("full", [False, True], ids=["plain", "all options"])
def test_matches_the_reference(backend, dtype, reduction, full, rng):
    hidden, weight, targets, bias = problem(rng, (3, 9), 50, 24, dtype)
    options = {"reduction": reduction}
    if full:
        options |= {
            "class_weight": rng.uniform(0.5, 2, 50).astype(dtype),
            "label_smoothing": 0.1,
            "z_loss": 1e-3,
        }
    else:
        bias = None
    got = ops.linear_cross_entropy_forward_backward(
        hidden, weight, targets, bias=bias, grad_scale=0.5, **options
    )
    assert got[1].dtype == got[2].dtype == dtype
    # The CUDA kernels multiply with them on tensor cores.
    stored = roundoff(dtype) if backend.startswith("cuda") and dtype.itemsize == 2 else 0.0
    check(got, hidden, weight, targets, bias, dtype, scale=0.5, stored=stored, **options)
    loss = ops.linear_cross_entropy(hidden, weight, targets, bias=bias, **options)
    np.testing.assert_array_equal(loss, got[0])


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_several_chunks(dtype, rng):
    """A vocabulary so large that a chunk holds some 25 rows."""
    hidden, weight, targets, bias = problem(rng, (40,), 500_000, 2, dtype)
    dweight = np.zeros(weight.shape, np.float32)
    got = ops.linear_cross_entropy_forward_backward(
        hidden, weight, targets, bias=bias, dweight_out=dweight
    )
    assert got[2] is dweight
    check(got, hidden, weight, targets, bias, dtype)
    own = ops.linear_cross_entropy_forward_backward(hidden, weight, targets, bias=bias)[2]
    assert own.dtype == dtype
    np.testing.assert_array_equal(own, dweight.astype(dtype))


def test_gradient_by_differences(rng):
    hidden, weight, targets, bias = problem(rng, (5,), 6, 3, np.float64)
    options = {"label_smoothing": 0.2, "z_loss": 0.1, "bias": bias}
    got = ops.linear_cross_entropy_forward_backward(hidden, weight, targets, **options)
    for value, gradient in zip((hidden, weight, bias), got[1:], strict=True):
        for i in np.ndindex(value.shape):
            kept, sides = value[i], []
            for step in (1e-6, -1e-6):
                value[i] = kept + step
                sides.append(float(ops.linear_cross_entropy(hidden, weight, targets, **options)))
            value[i] = kept
            assert gradient[i] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-7)


@given(
    rows=st.lists(st.integers(0, 5), max_size=2),
    classes=st.integers(1, 20),
    width=st.integers(0, 9),
    data=st.data(),
)
def test_any_layout(backend, rows, classes, width, data):
    rng = np.random.default_rng(2)
    hidden, weight, targets, _ = problem(rng, (*rows,), classes, max(width, 1))
    hidden = np.repeat(hidden, 2, axis=0)[::2] if rows else hidden
    hidden, weight = hidden[..., :width], np.asfortranarray(weight[:, :width])
    if data.draw(st.booleans()):
        hidden = np.asfortranarray(hidden)
    got = ops.linear_cross_entropy_forward_backward(hidden, weight, targets, reduction="sum")
    check(got, hidden, weight, targets, None, np.float32, reduction="sum")


def test_shifted_sequences_need_no_copy(backend, rng):
    hidden, weight, _, bias = problem(rng, (3, 8), 30, 12)
    targets = rng.integers(0, 30, (3, 8))
    views = hidden[:, :-1], weight, targets[:, 1:]
    got = ops.linear_cross_entropy_forward_backward(*views, bias=bias)
    check(got, *views, bias, np.float32)


def test_accumulates(backend, rng):
    hidden, weight, targets, bias = problem(rng, (7,), 11, 5)
    fresh = ops.linear_cross_entropy_forward_backward(hidden, weight, targets, bias=bias)
    dweight, dbias = np.ones_like(weight), np.ones_like(bias)
    ops.linear_cross_entropy_forward_backward(
        hidden,
        weight,
        targets,
        bias=bias,
        dweight_out=dweight,
        dbias_out=dbias,
        accumulate=True,
    )
    np.testing.assert_allclose(dweight, 1 + fresh[2], rtol=1e-6)
    np.testing.assert_allclose(dbias, 1 + fresh[3], rtol=1e-6)


def test_no_rows_and_all_ignored(rng):
    hidden, weight, targets, bias = problem(rng, (4,), 6, 3)
    for h, t in ((hidden[:0], targets[:0]), (hidden, np.full(4, -100))):
        loss, dhidden, dweight, dbias = ops.linear_cross_entropy_forward_backward(
            h, weight, t, bias=bias
        )
        assert np.isnan(loss)
        assert dhidden.shape == h.shape
        assert all((g == 0).all() for g in (dhidden, dweight, dbias))
        assert ops.linear_cross_entropy(h, weight, t, reduction="sum") == 0


@pytest.mark.parametrize(("rows", "classes"), [(512, 60_000), (1024, 50_257)])
def test_memory_stays_below_that_of_the_logits(rows, classes, rng):
    """123 and 206 MB of them; an op by op computation has them, their gradient and two more."""
    hidden, weight, targets, _ = problem(rng, (rows,), classes, 4)
    outs = {"dweight_out": np.empty_like(weight), "dhidden_out": np.empty_like(hidden)}
    memory.reset_peak()
    before = memory.stats()["in_use"]
    ops.linear_cross_entropy_forward_backward(hidden, weight, targets, **outs)
    assert memory.stats()["peak_in_use"] - before < 56e6


H = np.ones((3, 4), np.float32)
W = np.ones((5, 4), np.float32)
T = np.zeros(3, int)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f([1.0], W, T), TypeError, "hidden: expected a NumPy array"),
        (lambda f: f(H.astype(int), W, T), TypeError, "hidden: expected float32"),
        (lambda f: f(H, W[:, :3], T), ValueError, "hidden: expected 3 features"),
        (lambda f: f(H, W[0], T), ValueError, "weight: expected 2 axes"),
        (lambda f: f(H, W.astype(float), T), TypeError, "weight: expected the dtype of hidden"),
        (lambda f: f(H, W, T[:2]), ValueError, "targets: expected shape"),
        (lambda f: f(H, W, T + 5), ValueError, r"targets: 5 at position \(0,\)"),
        (lambda f: f(H, W, T, bias=W[0]), ValueError, "bias: expected shape"),
        (lambda f: f(H, W, T, class_weight=W[0]), ValueError, "weight: expected shape"),
        (lambda f: f(H, W, T, reduction=""), ValueError, "reduction: expected"),
    ],
)
@pytest.mark.parametrize(
    "function", [ops.linear_cross_entropy, ops.linear_cross_entropy_forward_backward]
)
def test_bad_input(function, call, error, message):
    with pytest.raises(error, match=message):
        call(function)


@pytest.mark.parametrize(
    ("outs", "message"),
    [
        ({"accumulate": True}, "dweight_out: accumulate=True needs"),
        ({"dweight_out": W}, "overlaps the memory of weight"),
        ({"dhidden_out": H}, "overlaps the memory of hidden"),
        ({"dhidden_out": W}, "dhidden_out: expected shape"),
    ],
)
def test_bad_outputs(outs, message):
    with pytest.raises(ValueError, match=message):
        ops.linear_cross_entropy_forward_backward(H, W, T, **outs)
