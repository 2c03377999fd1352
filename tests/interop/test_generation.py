"""The sampling filters keep exactly the tokens that transformers' generate keeps."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
process = pytest.importorskip("transformers.generation.logits_process")

from pyllm.generation import SamplingConfig  # noqa: E402
from pyllm.generation import process as ours  # noqa: E402


def theirs(config, ids, logits):
    """The processors in the order in which `generate` applies them."""
    chain = []
    if config.repetition_penalty != 1:
        chain.append(process.RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
    if config.temperature != 1:
        chain.append(process.TemperatureLogitsWarper(config.temperature))
    if config.top_k:
        chain.append(process.TopKLogitsWarper(config.top_k))
    if config.top_p < 1:
        chain.append(process.TopPLogitsWarper(config.top_p))
    if config.min_p:
        chain.append(process.MinPLogitsWarper(config.min_p))
    scores = torch.from_numpy(logits.copy())
    for step in chain:
        scores = step(torch.from_numpy(ids), scores)
    return scores.numpy()


@pytest.mark.parametrize(
    "settings",
    [
        {"repetition_penalty": 1.3},
        {"repetition_penalty": 0.7},
        {"temperature": 0.6},
        {"top_k": 1},
        {"top_k": 40},
        {"top_k": 10_000},
        {"top_p": 0.05},
        {"top_p": 0.9},
        {"top_p": 0.999},
        {"min_p": 0.02},
        {"min_p": 0.5},
        {
            "repetition_penalty": 1.2,
            "temperature": 0.8,
            "top_k": 100,
            "top_p": 0.9,
            "min_p": 0.01,
        },
    ],
    ids=str,
)
@pytest.mark.parametrize("vocab", [7, 1000])
def test_same_logits_and_kept_set(settings, vocab, rng):
    config = SamplingConfig(**settings)
    for spread in (0.5, 3.0, 10.0):
        logits = rng.normal(0, spread, (4, vocab)).astype(np.float32)
        ids = rng.integers(0, vocab, (4, 12))
        got, expected = ours(logits, ids.tolist(), config), theirs(config, ids, logits)
        np.testing.assert_array_equal(np.isfinite(got), np.isfinite(expected))
        kept = np.isfinite(expected)
        # One rounding each in the penalty and the temperature.
        np.testing.assert_allclose(got[kept], expected[kept], rtol=4 * 2.0**-24)
