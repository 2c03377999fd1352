"""Error bounds derived from the arithmetic, for comparisons with a float64 reference."""

import ml_dtypes
import numpy as np

# Unit roundoff: half the distance from 1 to the next number.
ROUNDOFF = {
    np.dtype(np.float64): 2.0**-53,
    np.dtype(np.float32): 2.0**-24,
    np.dtype(np.float16): 2.0**-11,
    np.dtype(ml_dtypes.bfloat16): 2.0**-8,
}
# Smallest subnormal: what a result may be off by when it underflows.
TINY = {
    np.dtype(np.float64): 5e-324,
    np.dtype(np.float32): 1.4e-45,
    np.dtype(np.float16): 6e-8,
    np.dtype(ml_dtypes.bfloat16): 9.2e-41,
}


def roundoff(dtype) -> float:
    return ROUNDOFF[np.dtype(dtype)]


def compute_roundoff(dtype) -> float:
    """Unit roundoff of the type that kernels accumulate in for this storage type."""
    return roundoff(np.float64 if np.dtype(dtype) == np.float64 else np.float32)


def stored_weights(backend, dtype) -> float:
    """Roundings of the compute type that three of 16-bit storage are worth: tensor cores take the
    weights of attention and their gradients in the type of its arrays."""
    if backend is None or backend.startswith("cpu") or np.dtype(dtype).itemsize != 2:
        return 0.0
    return 3.1 * roundoff(dtype) / compute_roundoff(dtype)


def assert_close(got, expected, *, ops: float, scale=None, dtype=None):
    """|got - expected| <= (ops units of the compute type + one rounding to storage) * scale.

    `ops` counts the roundings on the way (for a sum of n terms in vector lanes about n / lanes;
    the expected statistical error of pairwise sums is far below, so sqrt(n) is a fair count).
    `scale` is the magnitude of the terms, default |expected|; `dtype` the storage type, default
    that of `got`.
    """
    got = np.asarray(got)
    dtype = np.dtype(dtype or got.dtype)
    expected = np.asarray(expected, np.float64)
    assert got.shape == expected.shape
    scale = np.abs(expected) if scale is None else np.broadcast_to(scale, expected.shape)
    bound = (ops * compute_roundoff(dtype) + 1.01 * roundoff(dtype)) * np.where(
        np.isfinite(scale), scale, 0
    ) + TINY[dtype]
    wide = got.astype(np.float64)
    same = (wide == expected) | (np.isnan(wide) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0, np.abs(wide - expected))
    bad = ~(error <= bound)
    assert not bad.any(), (
        f"{bad.sum()} of {bad.size} elements differ; worst is {np.nanmax(error / bound):.3g} times "
        f"the bound, first at {tuple(np.argwhere(bad)[0])}: got {wide[bad][0]!r}, "
        f"expected {expected[bad][0]!r}"
    )
