import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops
from tests.reference import cross_entropy as reference
from tests.tolerance import TINY, assert_close, compute_roundoff, roundoff

REDUCTIONS = ["mean", "sum", "none"]
reductions = pytest.mark.parametrize("reduction", REDUCTIONS)


def problem(rng, shape, dtype=np.float32, ignored=0.2):
    """Logits, targets with some ignored, class weights."""
    logits = rng.normal(0, 3, shape).astype(dtype)
    targets = rng.integers(0, shape[-1], shape[:-1])
    targets[rng.random(shape[:-1]) < ignored] = -100
    return logits, targets, rng.uniform(0.5, 2, shape[-1]).astype(dtype)


def options_of(kind, weight):
    return {
        "plain": {},
        "weighted": {"weight": weight},
        "all": {"weight": weight, "label_smoothing": 0.1, "z_loss": 1e-2},
    }[kind]


def check_loss(got, logits, targets, reduction, options):
    expected, _ = reference.cross_entropy(logits, targets, reduction, **options)
    top = 2 * np.abs(np.asarray(logits, np.float64)).max(initial=1.0) + 10
    _, _, weights = reference.rows(logits, targets, **options)
    # The error of a row is a few roundings of its largest logit (and lse); squared in the z-loss.
    scale = 2 * top * (1 + options.get("z_loss", 0) * top)
    if reduction == "sum":
        scale = scale * max(1, np.count_nonzero(weights)) * 2
    assert got.dtype == (np.float64 if logits.dtype == np.float64 else np.float32)
    assert_close(got, expected, ops=8 + np.sqrt(logits.shape[-1]) / 4, scale=scale)


def check_gradient(got, logits, targets, reduction, options):
    _, expected = reference.cross_entropy(logits, targets, reduction, **options)
    _, _, weights = reference.rows(logits, targets, **options)
    assert got.dtype == logits.dtype
    share = 1 / weights.sum() if reduction == "mean" else 1.0
    top = 2 * np.abs(np.asarray(logits, np.float64)).max(initial=1.0) + 10
    # An error of the exponent, which grows with the logits, is a relative error of p <= 1.
    error = 2 * compute_roundoff(logits.dtype) * (8 + top) * 4 * share
    error = error + 1.01 * roundoff(logits.dtype) * np.abs(expected) + TINY[logits.dtype]
    assert (np.abs(got.astype(np.float64) - expected) <= error).all()


@reductions
@pytest.mark.parametrize("kind", ["plain", "weighted", "all"])
@pytest.mark.parametrize("shape", [(1, 1), (7, 65), (3, 5, 40), (4, 5003)])
def test_forward_and_backward(backend, dtype, reduction, kind, shape, rng):
    logits, targets, weight = problem(rng, shape, dtype)
    targets.flat[0] = shape[-1] - 1
    options = options_of(kind, weight)
    loss, lse = ops.cross_entropy(logits, targets, reduction=reduction, return_lse=True, **options)
    check_loss(loss, logits, targets, reduction, options)
    expected = np.where(targets == -100, 0, reference.log_sum_exp(logits.astype(np.float64)))
    assert_close(lse, expected, ops=12, scale=15 + np.abs(expected))
    got = ops.cross_entropy_backward(1.0, logits, targets, lse, reduction=reduction, **options)
    check_gradient(got, logits, targets, reduction, options)


@reductions
@pytest.mark.parametrize("kind", ["plain", "all"])
def test_gradient_by_differences(reduction, kind, rng):
    logits, targets, weight = problem(rng, (4, 5), np.float64)
    options = options_of(kind, weight) | {"reduction": reduction}
    grad = rng.normal(size=4) if reduction == "none" else 1.7
    _, lse = ops.cross_entropy(logits, targets, return_lse=True, **options)
    got = ops.cross_entropy_backward(grad, logits, targets, lse, **options)
    for i in np.ndindex(logits.shape):
        kept, sides = logits[i], []
        for step in (1e-6, -1e-6):
            logits[i] = kept + step
            sides.append((ops.cross_entropy(logits, targets, **options) * grad).sum())
        logits[i] = kept
        assert got[i] == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-7)


@given(
    rows=st.lists(st.integers(0, 4), max_size=3),
    classes=st.integers(1, 40),
    reduction=st.sampled_from(REDUCTIONS),
    data=st.data(),
)
def test_any_layout(backend, rows, classes, reduction, data):
    rng = np.random.default_rng(1)
    shape = [*rows, classes]
    order = data.draw(st.permutations(range(len(shape))))
    stored = rng.normal(size=[2 * shape[axis] for axis in order]).astype(np.float32)
    logits = stored[tuple(slice(1, None, 2) for _ in shape)].transpose(np.argsort(order))
    targets = rng.integers(0, classes, rows[::-1]).astype(data.draw(st.sampled_from(["i4", "i8"])))
    targets = targets.T[..., ::-1] if rows else targets
    assert logits.shape == tuple(shape)
    loss, lse = ops.cross_entropy(logits, targets, reduction=reduction, return_lse=True)
    assert loss.shape == (tuple(rows) if reduction == "none" else ())
    if targets.size == 0:
        assert reduction == "none" or np.isnan(loss) == (reduction == "mean")
        return
    check_loss(loss, logits, targets, reduction, {})
    out = np.zeros([*rows, 2 * classes], np.float32)[..., ::2]
    got = ops.cross_entropy_backward(1.0, logits, targets, lse, reduction=reduction, out=out)
    assert got is out
    check_gradient(got, logits, targets, reduction, {})


@reductions
def test_all_ignored(backend, reduction, rng):
    logits = np.full((3, 5), np.nan, np.float32)
    targets = np.full(3, 7)
    options = {"ignore_index": 7, "reduction": reduction, "label_smoothing": 0.1}
    loss, lse = ops.cross_entropy(logits, targets, return_lse=True, **options)
    assert np.isnan(loss) if reduction == "mean" else (loss == 0).all()
    grad = ops.cross_entropy_backward(1.0, logits, targets, lse, **options)
    assert (grad == 0).all()


def test_ignore_index_may_be_a_class(backend, rng):
    logits, targets, _ = problem(rng, (6, 4), ignored=0)
    targets[:2] = 0
    options = {"ignore_index": 0}
    loss = ops.cross_entropy(logits, targets, **options)
    check_loss(loss, logits, targets, "mean", options)


def test_infinite_logits(backend):
    inf, nan = np.inf, np.nan
    logits = np.array(
        [[-inf, 0, 0], [0, -inf, 0], [-inf] * 3, [inf, 0, 0], [nan, 0, 0], [3e38, 0, -3e38]],
        np.float32,
    )
    targets = np.array([0, 0, 0, 1, 1, 0])
    loss, lse = ops.cross_entropy(logits, targets, reduction="none", return_lse=True)
    np.testing.assert_array_equal(loss[[0, 5]], [inf, 0])
    assert loss[1] == pytest.approx(np.log(2))
    assert np.isnan(loss[[2, 3, 4]]).all()
    grad = ops.cross_entropy_backward(1.0, logits, targets, lse, reduction="none")
    np.testing.assert_allclose(grad[:2], [[-1, 0.5, 0.5], [-0.5, 0, 0.5]], atol=1e-6)
    np.testing.assert_array_equal(grad[5], [0, 0, 0])
    assert np.isnan(grad[4]).all()


def test_the_maximum_may_come_late(backend, rng):
    """Blocks of rising maxima: the sum so far is rescaled."""
    logits = np.linspace(-200, 200, 9001, dtype=np.float32)[None]
    for row in (logits, logits[:, ::-1].copy()):
        loss = ops.cross_entropy(row, np.array([4500]))
        check_loss(loss, row, np.array([4500]), "mean", {})


def test_gradient_in_place(backend, rng):
    logits, targets, _ = problem(rng, (9, 33))
    _, lse = ops.cross_entropy(logits, targets, return_lse=True)
    expected = ops.cross_entropy_backward(0.5, logits, targets, lse)
    got = ops.cross_entropy_backward(np.float32(0.5), logits, targets, lse, out=logits)
    assert got is logits
    np.testing.assert_array_equal(got, expected)


def test_same_bits_at_any_thread_count(threads, rng):
    logits, targets, _ = problem(rng, (300, 129))
    results = []
    for n in (1, 2, 3):
        threads(n)
        loss, lse = ops.cross_entropy(logits, targets, return_lse=True)
        results.append(
            (loss.tobytes(), ops.cross_entropy_backward(1.0, logits, targets, lse).tobytes())
        )
    assert len(set(results)) == 1


X = np.ones((2, 3, 4), np.float32)
T = np.zeros((2, 3), int)
L = np.zeros((2, 3), np.float32)


def bad_target(value):
    targets = T.copy()
    targets[1, 2] = value
    return targets


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.cross_entropy([1.0], T), TypeError, "logits: expected a NumPy array"),
        (lambda: ops.cross_entropy(X.astype(int), T), TypeError, "logits: expected float32"),
        (lambda: ops.cross_entropy(X[0, 0, 0:1].reshape(()), T), ValueError, "logits: .* axis"),
        (lambda: ops.cross_entropy(X, T.astype(float)), TypeError, "targets: expected dtype int32"),
        (lambda: ops.cross_entropy(X, T[0]), ValueError, r"targets: expected shape \(2, 3\)"),
        (
            lambda: ops.cross_entropy(X, bad_target(4)),
            ValueError,
            r"targets: 4 at position \(1, 2\) is neither a class in \[0, 4\) nor ignore_index -100",
        ),
        (lambda: ops.cross_entropy(X, bad_target(-1)), ValueError, r"targets: -1 at position"),
        (
            lambda: ops.cross_entropy(X, bad_target(2**62)),
            ValueError,
            "targets: 4611686018427387904 at",
        ),
        (lambda: ops.cross_entropy(X[..., :0], T), ValueError, "targets: 0 at position"),
        (lambda: ops.cross_entropy(X, T, weight=X[0, 0, :3]), ValueError, "weight: expected shape"),
        (lambda: ops.cross_entropy(X, T, weight=np.ones(4)), TypeError, "weight: expected the"),
        (lambda: ops.cross_entropy(X, T, label_smoothing=1.5), ValueError, "label_smoothing: "),
        (lambda: ops.cross_entropy(X, T, label_smoothing=np.nan), ValueError, "label_smoothing: "),
        (lambda: ops.cross_entropy(X, T, z_loss=-1), ValueError, "z_loss: expected"),
        (lambda: ops.cross_entropy(X, T, reduction="avg"), ValueError, "reduction: expected"),
        (lambda: ops.cross_entropy_backward("a", X, T, L), TypeError, "grad: expected a number"),
        (lambda: ops.cross_entropy_backward(L, X, T, L), ValueError, "grad: expected a single"),
        (
            lambda: ops.cross_entropy_backward(L[0], X, T, L, reduction="none"),
            ValueError,
            "grad: expected shape",
        ),
        (lambda: ops.cross_entropy_backward(1.0, X, T, L[0]), ValueError, "lse: expected shape"),
        (
            lambda: ops.cross_entropy_backward(1.0, X, T, L.astype(ml_dtypes.bfloat16)),
            TypeError,
            "lse: expected dtype",
        ),
        (
            lambda: ops.cross_entropy_backward(1.0, X[:, :, :2], T, L, out=X[:, :, 1:3]),
            ValueError,
            "out: overlaps",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
