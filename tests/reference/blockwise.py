"""The dynamic map of 8-bit optimizers (Dettmers et al. 2022), as tables."""

import numpy as np


def steps(signed):
    """The values below 1 that a magnitude can become, and the edges between their bins."""
    middles, edges = [], []
    for decade in range(7):
        bins = 2**decade * (1 if signed else 2)
        cuts = np.linspace(0.1, 1, bins + 1) * 10.0 ** (decade - 6)
        middles += list((cuts[:-1] + cuts[1:]) / 2)
        edges += list(cuts[:-1])
    return np.array(middles), np.array(edges)


def quantize(x, signed, block=256):
    """The values that x (n,) becomes, in float64."""
    middles, edges = steps(signed)
    result = np.zeros(x.shape)
    for start in range(0, x.size, block):
        part = x[start : start + block].astype(np.float64)
        scale = part[np.abs(part).argmax()]
        if scale == 0:
            continue
        ratio = part / scale
        index = np.searchsorted(edges, np.abs(ratio), side="right") - 1
        value = np.sign(ratio) * np.where(index < 0, 0, middles[np.maximum(index, 0)])
        if not signed:
            value[(ratio > 0) & (index < 0)] = middles[0]
        value[ratio > (1 + middles[-1]) / 2] = 1
        result[start : start + block] = value * scale
    return result
