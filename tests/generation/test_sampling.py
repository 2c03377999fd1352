"""The filters against their definitions, the draw against its distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm.generation import Sampler, SamplingConfig, process
from pyllm.generation.sampling import keep_min_p, keep_top_k, keep_top_p, penalize_repetition
from tests.reference import sampling as reference

SEEDS, SIZES = st.integers(0, 10_000), st.integers(1, 300)


def random_logits(seed, vocab):
    return np.random.default_rng(seed).normal(0, 3, (2, vocab)).astype(np.float32)


@given(SEEDS, SIZES, st.integers(1, 400))
def test_top_k(seed, vocab, k):
    logits = random_logits(seed, vocab)
    for row, got in zip(logits, keep_top_k(logits, k), strict=True):
        np.testing.assert_array_equal(np.isfinite(got), reference.top_k(row, k))
        np.testing.assert_array_equal(got[np.isfinite(got)], row[np.isfinite(got)])


@given(SEEDS, SIZES, st.floats(0.01, 0.99))
def test_top_p(seed, vocab, p):
    logits = random_logits(seed, vocab)
    for row, got in zip(logits, keep_top_p(logits, p), strict=True):
        wide = row.astype(np.float64)
        # Within the roundings of the running sum, either side of the border is right.
        least, most = reference.top_p(wide, p - 1e-5), reference.top_p(wide, p + 1e-5)
        kept = np.isfinite(got)
        assert (least <= kept).all()
        assert (kept <= most).all()
        assert kept.any()


@given(SEEDS, SIZES, st.floats(0, 1))
def test_min_p(seed, vocab, p):
    logits = random_logits(seed, vocab)
    for row, got in zip(logits, keep_min_p(logits, p), strict=True):
        wide, kept = row.astype(np.float64), np.isfinite(got)
        assert (reference.min_p(wide, p * (1 + 1e-5)) <= kept).all() or p == 1
        assert (kept <= reference.min_p(wide, p * (1 - 1e-5))).all()
        assert kept[row.argmax()]


def test_repetition_penalty_divides_positive_and_multiplies_negative():
    logits = np.array([[2.0, -2.0, 1.0, 0.0]], np.float32)
    got = penalize_repetition(logits, [[0, 1, 1, 3]], 2.0)
    np.testing.assert_array_equal(got, [[1.0, -4.0, 1.0, 0.0]])


def test_greedy_ignores_the_filters():
    logits = np.array([[0.1, 3.0, 2.0], [5.0, 1.0, 1.0]], np.float32)
    sampler = Sampler(SamplingConfig(temperature=0, top_k=1, top_p=0.1), 2)
    np.testing.assert_array_equal(sampler.next(logits, [[], []], [0, 1]), [1, 0])


def test_draws_follow_the_distribution():
    logits = np.log(np.array([[0.5, 0.3, 0.2, 1e-30]], np.float32))
    sampler = Sampler(SamplingConfig(seed=3), 1)
    counts = np.bincount([sampler.next(logits, [[]], [0])[0] for _ in range(4000)], minlength=4)
    sigma = np.sqrt(4000 * np.array([0.25, 0.21, 0.16]))
    assert (np.abs(counts[:3] - [2000, 1200, 800]) < 4 * sigma).all()
    assert counts[3] == 0


def test_filtered_tokens_are_never_drawn():
    logits = np.zeros((1, 50), np.float32)
    logits[0, :3] = 5
    sampler = Sampler(SamplingConfig(top_k=3, seed=1), 1)
    assert {int(sampler.next(logits, [[]], [0])[0]) for _ in range(300)} == {0, 1, 2}


def test_a_sequence_draws_the_same_alone_and_in_company():
    logits = random_logits(0, 100)
    both, alone = (Sampler(SamplingConfig(seed=9), 2) for _ in range(2))
    for _ in range(5):
        expected = both.next(logits, [[], []], [0, 1])[1]
        assert alone.next(logits[1:], [[]], [1])[0] == expected


def test_infinite_and_extreme_logits():
    logits = np.array([[-np.inf, 3e38, -3e38, 0.0]], np.float32)
    for config in (SamplingConfig(top_p=0.5), SamplingConfig(min_p=0.1), SamplingConfig(top_k=2)):
        got = process(logits, [[]], config)
        assert np.isfinite(got[0, 1])
        assert Sampler(config, 1).next(logits, [[]], [0])[0] == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"repetition_penalty": 0},
        {"seed": -1},
        {"temperature": float("nan")},
    ],
)
def test_hostile_settings(bad):
    with pytest.raises(ValueError, match=rf"^{next(iter(bad))}: expected"):
        SamplingConfig(**bad)
