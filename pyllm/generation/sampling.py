"""From logits to the next token: penalty, temperature, top-k, top-p, min-p, then a draw.

The filters run in the order of `transformers`' generate, each on what the last one left:

    repetition penalty r   logit l of a token seen before: l / r if l > 0, else l * r
                           (Keskar et al. 2019, CTRL)
    temperature t          l / t; t = 0 means greedy
    top-k                  the k largest logits (and ties with the k-th)
    top-p                  the smallest set of most probable tokens whose mass reaches p
                           (Holtzman et al. 2020)
    min-p                  tokens with at least p times the probability of the best
                           (Nguyen et al. 2024)

A token that is filtered out gets the logit -inf. At least one token always stays.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SamplingConfig:
    """How the next token is chosen.

    Attributes:
        temperature: 0 takes the most probable token; below 1 sharpens, above 1 flattens.
        top_k: keep so many tokens; 0 keeps all.
        top_p: keep the nucleus of this probability; 1 keeps all.
        min_p: drop tokens below this share of the best one's probability; 0 keeps all.
        repetition_penalty: above 1 makes tokens that occurred less likely.
        seed: of the draws. Sequence i of a batch has its own stream, so that its text does not
            depend on its neighbours.

    Raises:
        ValueError: a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        checks = {
            "temperature": (self.temperature >= 0, "0 or more"),
            "top_k": (self.top_k >= 0, "0 or more"),
            "top_p": (0 < self.top_p <= 1, "more than 0 and at most 1"),
            "min_p": (0 <= self.min_p <= 1, "between 0 and 1"),
            "repetition_penalty": (self.repetition_penalty > 0, "more than 0"),
            "seed": (self.seed >= 0, "0 or more"),
        }
        for name, (right, expected) in checks.items():
            if not right:
                raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)}")


class Sampler:
    """Draws the next token of several sequences at once."""

    def __init__(self, config: SamplingConfig, sequences: int) -> None:
        self.config = config
        self._streams = [
            np.random.Generator(np.random.Philox(key=[config.seed, row]))
            for row in range(sequences)
        ]

    def next(
        self, logits: Logits, seen: list[list[int]], sequences: list[int]
    ) -> npt.NDArray[np.int64]:
        """One token for each row.

        Args:
            logits: (rows, vocab_size).
            seen: the ids of each row's sequence so far, prompt included.
            sequences: which of the batch's sequences the rows belong to.
        """
        logits = process(logits, seen, self.config)
        if self.config.temperature == 0:
            return logits.argmax(axis=-1)
        # Inverse of the cumulative distribution. A filtered token has no width, so it is never hit.
        cumulative = np.cumsum(np.exp(log_softmax(logits), dtype=np.float64), axis=-1)
        drawn = np.array([self._streams[i].random() for i in sequences])[:, None]
        return (cumulative <= drawn * cumulative[:, -1:]).sum(axis=-1)


def process(logits: Logits, seen: list[list[int]], config: SamplingConfig) -> Logits:
    """All filters of a configuration in their order; returns new logits (float32)."""
    logits = np.array(logits, np.float32)
    if config.repetition_penalty != 1:
        logits = penalize_repetition(logits, seen, config.repetition_penalty)
    if config.temperature == 0:
        return logits
    logits = logits / np.float32(config.temperature)
    if config.top_k:
        logits = keep_top_k(logits, config.top_k)
    if config.top_p < 1:
        logits = keep_top_p(logits, config.top_p)
    if config.min_p > 0:
        logits = keep_min_p(logits, config.min_p)
    return logits


def penalize_repetition(logits: Logits, seen: list[list[int]], penalty: float) -> Logits:
    """Divide positive and multiply negative logits of the ids that occurred."""
    out = logits.copy()
    for row, ids in enumerate(seen):
        which = np.unique(np.asarray(ids, np.int64))
        value = out[row, which]
        out[row, which] = np.where(value < 0, value * penalty, value / penalty)
    return out


def keep_top_k(logits: Logits, k: int) -> Logits:
    """Keep the k largest logits of each row."""
    k = min(k, logits.shape[-1])
    kth = np.partition(logits, -k, axis=-1)[:, -k, None]
    return np.where(logits < kth, -np.inf, logits).astype(np.float32)


def keep_top_p(logits: Logits, p: float) -> Logits:
    """Keep the most probable tokens of each row until their mass reaches p."""
    order = np.argsort(logits, axis=-1, kind="stable")  # ascending
    ascending = np.take_along_axis(log_softmax(logits), order, axis=-1)
    drop = np.cumsum(np.exp(ascending), axis=-1, dtype=np.float32) <= np.float32(1 - p)
    drop[:, -1] = False
    dropped = np.empty_like(drop)
    np.put_along_axis(dropped, order, drop, axis=-1)
    return np.where(dropped, -np.inf, logits).astype(np.float32)


def keep_min_p(logits: Logits, p: float) -> Logits:
    """Keep tokens with at least p times the probability of the best one of the row."""
    best = logits.max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore"):
        return np.where(logits < best + np.log(np.float32(p)), -np.inf, logits).astype(np.float32)


def log_softmax(logits: Logits) -> Logits:
    """Logarithm of the probabilities of each row."""
    with np.errstate(over="ignore"):  # far below the best is -inf, as it should be
        shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
