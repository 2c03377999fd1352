"""Rows like those of HIGGS: 28 features, two classes that no single feature tells apart."""

import numpy as np

FEATURES = 28


def higgs_like(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """X float32: a third normal, a third half-normal, a third log-normal; y from products, steps
    and waves of them, with logistic noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, FEATURES), dtype=np.float32)
    x[:, 9:18] = np.abs(x[:, 9:18])
    x[:, 18:] = np.exp(x[:, 18:] / 2)
    score = 1.2 * x[:, 0] * x[:, 1] - 0.8 * x[:, 2] ** 2 + 1.5 * np.sin(2 * x[:, 3] * x[:, 9])
    score += 1.1 * ((x[:, 10] > 0.8) & (x[:, 4] < 0)) + 0.9 * x[:, 18] * x[:, 5]
    score += 0.6 * np.tanh(x[:, 19] - x[:, 20]) * x[:, 6] - 0.7 * np.hypot(
        x[:, 11] ** 0.5, x[:, 12]
    )
    score += 0.5 * x[:, 13] * (x[:, 7] > 0.3) + 0.3 * x[:, 8] + 0.8
    return x, (score + rng.logistic(scale=1.5, size=rows) > 0).astype(np.float32)
