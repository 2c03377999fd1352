"""Rotary position embedding in float64, pair by pair."""

import numpy as np


def rotary(x, cos, sin, positions=None, interleaved=False):
    x, cos, sin = (np.asarray(a, np.float64) for a in (x, cos, sin))
    half = cos.shape[1]
    positions = np.arange(x.shape[1]) if positions is None else positions
    c, s = cos[positions][..., None, :], sin[positions][..., None, :]
    first, second = (
        (slice(0, 2 * half, 2), slice(1, 2 * half, 2))
        if interleaved
        else (slice(0, half), slice(half, 2 * half))
    )
    y = x.copy()
    y[..., first] = x[..., first] * c - x[..., second] * s
    y[..., second] = x[..., second] * c + x[..., first] * s
    return y
