"""8-bit states: the map against its tables, and steps that keep their moments in it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.backends import ops
from tests.reference.blockwise import quantize, steps


def spread(rng, n, signed):
    """Magnitudes over nine decades."""
    x = 10.0 ** rng.uniform(-9, 0, n)
    return (x * rng.choice([-1, 1], n) if signed else x).astype(np.float32)


def there_and_back(x, signed):
    return ops.dequantize_blockwise(ops.quantize_blockwise(x, signed=signed), signed=signed)


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("n", [0, 1, 255, 256, 257, 100_000])
def test_map(backend, signed, n, rng):
    x = spread(rng, n, signed) * np.float32(37)
    expected = quantize(x, signed)
    got = there_and_back(x, signed)
    # On an edge between two bins float32 may fall to either side.
    differs = np.abs(got - expected) > 1e-5 * np.abs(expected)
    assert differs.sum() <= 1e-4 * n
    bin_width = 0.9 / 64 if signed else 0.9 / 128
    scale = np.repeat(np.abs(ops.quantize_blockwise(x, signed=signed).scale), 256)[:n]
    np.testing.assert_array_less(np.abs(got - x), scale * bin_width / 2 * 1.001)


@pytest.mark.parametrize("signed", [True, False])
def test_every_step_is_a_fixed_point(backend, signed):
    middles, _ = steps(signed)
    x = np.concatenate([middles, [1.0]]).astype(np.float32)
    x = np.concatenate([x, -x]) if signed else x
    blocks = [np.concatenate([[1.0], part]) for part in np.array_split(x, 2)]
    for block in blocks:
        once = there_and_back(block.astype(np.float32), signed)
        np.testing.assert_allclose(once[block > -1], block[block > -1], rtol=2e-6)
        np.testing.assert_array_equal(there_and_back(once, signed), once)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_is_exact(sign, rng):
    x = rng.normal(size=1000).astype(np.float32)
    for block in np.split(np.arange(1000), [256, 512, 768]):
        largest = block[np.abs(x[block]).argmax()]
        x[largest] = sign * 7.7
        assert there_and_back(x, True)[largest] == x[largest]


def test_what_has_no_sign_never_becomes_zero():
    x = np.array([1.0, 1e-20, 0.0], np.float32)
    got = there_and_back(x, False)
    assert 0 < got[1] < 1e-6
    assert got[2] == 0


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_block_that_is_not_finite_is_nan(backend, bad, rng):
    x = rng.normal(size=600).astype(np.float32)
    x[300] = bad
    got = there_and_back(x, True)
    assert np.isnan(got[256:512]).all()
    assert np.isfinite(got[:256]).all()
    assert np.isfinite(got[512:]).all()


def test_subnormal_blocks_are_zero():
    np.testing.assert_array_equal(there_and_back(np.full(3, 1e-40, np.float32), True), 0)


@given(st.integers(0, 2000), st.integers(0, 99), st.booleans())
def test_a_second_rounding_changes_nothing(n, seed, signed):
    x = spread(np.random.default_rng(seed), n, signed)
    once = there_and_back(x, signed)
    np.testing.assert_array_equal(there_and_back(once, signed), once)


def moment(n):
    return ops.Blockwise(np.zeros(n, np.uint8), np.zeros(-(-n // 256), np.float32))


def adam(p, g, states, t):
    ops.adamw_step(p, g, *states[:2], lr=0.01, step=t, weight_decay=0.1)


def amsgrad(p, g, states, t):
    ops.adam_step(p, g, *states[:2], lr=0.01, step=t, max_exp_avg_sq=states[2])


def lion(p, g, states, t):
    ops.lion_step(p, g, states[0], lr=0.01)


def momentum(p, g, states, t):
    ops.sgd_step(p, g, states[0], lr=0.01, momentum=0.9, nesterov=True, first=t == 1)


@pytest.mark.parametrize("step", [adam, amsgrad, lion, momentum])
@pytest.mark.parametrize("n", [0, 1, 300, 40_000])
def test_a_step_is_the_float32_step_between_roundings(step, n, isa, rng):
    p = rng.normal(size=n).astype(np.float32)
    full, signs = p.copy(), (True, False, False)
    states = [moment(n) for _ in signs]
    for t in range(1, 6):
        g = spread(rng, n, True)
        wide = [ops.dequantize_blockwise(s, signed=k) for s, k in zip(states, signs, strict=True)]
        step(p, g, states, t)
        step(full, g, wide, t)
        np.testing.assert_array_equal(p, full)
        for state, values, signed in zip(states, wide, signs, strict=True):
            np.testing.assert_array_equal(
                ops.dequantize_blockwise(state, signed=signed), there_and_back(values, signed)
            )


def test_the_same_at_any_thread_count(threads, rng):
    start, g = rng.normal(size=(2, 100_001)).astype(np.float32)
    results = []
    for count in (1, 2, 3):
        threads(count)
        p, states = start.copy(), [moment(start.size), moment(start.size)]
        for t in (1, 2):
            adam(p, g, states, t)
        results.append((p, *states[0], *states[1]))
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_hostile_states():
    p, g, good = np.ones(300, np.float32), np.ones(300, np.float32), moment(300)
    full = np.zeros(300, np.float32)
    settings = {"lr": 0.1, "step": 1}
    with pytest.raises(ValueError, match="exp_avg_sq: either all states are block-wise or none"):
        ops.adam_step(p, g, good, full, **settings)
    with pytest.raises(ValueError, match="expected \\(codes, scale\\)"):
        ops.adam_step(p, g, (full,), good, **settings)
    with pytest.raises(TypeError, match="exp_avg: expected dtype uint8"):
        ops.adam_step(p, g, (full, good.scale), good, **settings)
    with pytest.raises(ValueError, match="exp_avg"):
        ops.adam_step(p, g, (good.codes, good.scale[:1]), good, **settings)
    with pytest.raises(ValueError, match="float64 parameters have no block-wise states"):
        ops.adam_step(np.ones(300), np.ones(300), good, good, **settings)
    frozen = ops.Blockwise(np.zeros(300, np.uint8), np.zeros(2, np.float32))
    frozen.codes.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        ops.adam_step(p, g, frozen, good, **settings)
    with pytest.raises(TypeError):
        ops.quantize_blockwise(np.ones(3))
    with pytest.raises(ValueError, match="x"):
        ops.quantize_blockwise(np.ones((2, 2), np.float32))
