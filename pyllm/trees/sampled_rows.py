"""The rows that decide where features are cut."""

import numpy as np

# Up to this many rows all values count for the cuts. Beyond, one row is drawn from each of as many
# equal stretches: a sample that the number of rows decides alone.
SAMPLE = 1 << 18


def sampled_rows(n_rows: int) -> np.ndarray | None:
    """The rows that decide the cuts, rising; None: all."""
    if n_rows <= SAMPLE:
        return None
    jitter = np.random.Generator(np.random.Philox(key=n_rows)).random(SAMPLE)
    rows = ((np.arange(SAMPLE) + jitter) * (n_rows / SAMPLE)).astype(np.int64)
    return np.minimum(rows, n_rows - 1)
