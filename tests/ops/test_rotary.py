"""Rotary embedding: both layouts, positions, partial rotation, backward, strides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops
from tests.reference.rotary import rotary as reference
from tests.tolerance import assert_close

layouts = pytest.mark.parametrize("interleaved", [False, True])


@layouts
@pytest.mark.parametrize("half", [0, 1, 8, 19])
def test_forward_and_backward(backend, dtype, interleaved, half, rng):
    x = rng.normal(size=(2, 7, 3, 40)).astype(dtype)
    cos, sin = ops.rotary_cache(20, 2 * half, dtype=np.float64 if dtype == np.float64 else "f4")
    positions = rng.integers(0, 20, (2, 7))
    y = ops.rotary(x, cos, sin, positions=positions, interleaved=interleaved)
    assert y.dtype == dtype
    scale = 2 * np.abs(x.astype(np.float64)).max()
    assert_close(y, reference(x, cos, sin, positions, interleaved), ops=3, scale=scale)
    back = ops.rotary_backward(x, cos, sin, positions=positions, interleaved=interleaved)
    assert_close(back, reference(x, cos, -sin, positions, interleaved), ops=3, scale=scale)


@layouts
@given(data=st.data())
def test_shapes_and_strides(backend, interleaved, data):
    shape = [data.draw(st.integers(0, 4)) for _ in range(3)] + [data.draw(st.integers(1, 20))]
    order = data.draw(st.permutations(range(3)))
    x = np.random.default_rng(0).normal(size=shape).transpose(*order, 3).astype(np.float32)
    if data.draw(st.booleans()):
        x = np.asfortranarray(x)
    cos, sin = ops.rotary_cache(4, x.shape[3] // 2 * 2)
    y = ops.rotary(x, cos, sin, interleaved=interleaved)
    assert_close(y, reference(x, cos, sin, None, interleaved), ops=3, scale=8.0)
    for i in range(x.shape[0]):  # one sequence of a packed batch
        one = ops.rotary(x[i], cos, sin, interleaved=interleaved)
        np.testing.assert_array_equal(one, y[i])
    assert ops.rotary(x, cos, sin, interleaved=interleaved, out=x) is x
    np.testing.assert_array_equal(x, y)


def test_cache_is_the_formula():
    cos, sin = ops.rotary_cache(50, 8, base=500.0, dtype=np.float64)
    angle = np.arange(50)[:, None] * 500.0 ** (-np.arange(4) / 4)
    np.testing.assert_allclose(cos, np.cos(angle), atol=1e-13)
    np.testing.assert_allclose(sin, np.sin(angle), atol=1e-13)


@layouts
def test_scores_depend_on_the_distance_alone(interleaved, rng):
    q, k = rng.normal(size=(2, 1, 1, 1, 16))
    cos, sin = ops.rotary_cache(100, 16, dtype=np.float64)

    def score(i, j):
        turned = [
            ops.rotary(a, cos, sin, positions=np.array([p]), interleaved=interleaved)
            for a, p in ((q, i), (k, j))
        ]
        return (turned[0] * turned[1]).sum()

    assert score(3, 10) == pytest.approx(score(80, 87), abs=1e-12)


def test_same_at_any_thread_count(threads, rng):
    x = rng.normal(size=(3, 200, 4, 32)).astype(np.float32)
    cos, sin = ops.rotary_cache(200, 32)
    results = []
    for n in (1, 2, 3):
        threads(n)
        results.append(ops.rotary(x, cos, sin).tobytes())
    assert len(set(results)) == 1


def test_hostile_inputs():
    x = np.ones((1, 5, 2, 8), np.float32)
    cos, sin = ops.rotary_cache(4, 8)
    with pytest.raises(ValueError, match="cos: has 4 positions, x needs 5"):
        ops.rotary(x, cos, sin)
    with pytest.raises(ValueError, match="0 <= position < 4, got -1"):
        ops.rotary(x, cos, sin, positions=np.array([0, 1, -1, 2, 3]))
    with pytest.raises(ValueError, match="positions: expected shape"):
        ops.rotary(x, cos, sin, positions=np.zeros((2, 5), int))
    with pytest.raises(TypeError, match="positions: expected dtype"):
        ops.rotary(x, cos, sin, positions=np.zeros(5))
    with pytest.raises(ValueError, match="cos: has 4 pairs, x only 6"):
        ops.rotary(x[..., :6], cos, sin)
    with pytest.raises(ValueError, match="sin: expected shape"):
        ops.rotary(x, cos, sin[:2])
    with pytest.raises(ValueError, match=r"x: expected .batch, seq, heads, dim"):
        ops.rotary(x[0, 0], cos, sin)
    with pytest.raises(ValueError, match="dim: expected an even"):
        ops.rotary_cache(4, 7)
