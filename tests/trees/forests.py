"""Random forests of every kind, and the rows to send through them."""

import numpy as np

from pyllm.trees import Forest, Tree


def random_tree(
    rng,
    *,
    n_features=5,
    leaves=9,
    width=1,
    categorical=0.3,
    zero_missing=0.2,
    grid=None,
    deep=False,
):
    """A tree of random shape: splits of all kinds, thresholds from `grid` (default: any)."""
    left, right, spots = [-1], [-1], [0]
    for _ in range(leaves - 1):
        node = spots.pop(-1 if deep else rng.integers(len(spots)))
        left[node], right[node] = len(left), len(left) + 1
        spots += left[node : node + 1] + right[node : node + 1]
        left += [-1, -1]
        right += [-1, -1]
    n = len(left)
    inner = np.array(left) >= 0
    threshold = rng.normal(size=n) if grid is None else rng.choice(grid, size=n)
    words = np.where(inner & (rng.random(n) < categorical), rng.integers(1, 4, n), 0)
    counts = rng.integers(1, 50, n)
    for node in range(n - 1, -1, -1):
        if inner[node]:
            counts[node] = counts[left[node]] + counts[right[node]]
    return Tree(
        feature=np.where(inner, rng.integers(n_features, size=n), -1),
        threshold=np.where(inner, threshold, 0.0),
        left=left,
        right=right,
        default_left=inner & (rng.random(n) < 0.5),
        zero_is_missing=inner & (rng.random(n) < zero_missing),
        value=rng.normal(size=(n, width)),
        gain=np.where(inner, rng.random(n), 0),
        cover=counts * 0.25,
        count=counts,
        category_offset=np.where(words, np.cumsum(words) - words, -1),
        category_words=words,
        category_bits=rng.integers(0, 2**32, words.sum(), dtype=np.uint32),
    )


def random_forest(
    rng,
    *,
    trees=7,
    n_features=5,
    n_outputs=1,
    vector=False,
    average=False,
    base_score=None,
    float32_input=False,
    feature_names=None,
    **tree,
):
    """A forest of `random_tree`s."""
    width = n_outputs if vector else 1
    return Forest.concat(
        [random_tree(rng, n_features=n_features, width=width, **tree) for _ in range(trees)],
        n_features=n_features,
        n_outputs=n_outputs,
        base_score=rng.normal(size=n_outputs) if base_score is None else base_score,
        average=average,
        float32_input=float32_input,
        feature_names=feature_names,
    )


def random_rows(rng, forest, rows=60, dtype=np.float64):
    """Rows on, beside and between thresholds, with NaN, infinities, zeros and categories."""
    shape = (rows, forest.n_features)
    thresholds = forest.threshold[forest.feature >= 0]
    X = rng.normal(size=shape)
    if len(thresholds):
        on = rng.choice(thresholds, size=shape)
        X = np.where(rng.random(shape) < 0.3, on, X)
        X = np.where(rng.random(shape) < 0.1, np.nextafter(on, np.inf), X)
    X = np.where(rng.random(shape) < 0.3, rng.integers(-2, 100, shape), X)
    odd = rng.choice([np.nan, 0.0, -0.0, 1e-40, np.inf, -np.inf, 3e9, 1e300], size=shape)
    with np.errstate(over="ignore"):
        return np.where(rng.random(shape) < 0.2, odd, X).astype(dtype)
