"""How far float32 arithmetic takes gelu(x) = x (erf(x / sqrt(2)) + 1) / 2 from the formula.

An error analysis of erf(v) = v P(v^2) / Q(v^2), operation by operation in the kernel's order. With
u the unit roundoff, fl(a + b) errs by at most |a + b| u and fl(a b) by |a b| u; a fused a b + c
errs once, otherwise twice; what the operands err by is carried on. Adding up the largest errors of
28 operations would allow 18 units in the last place for what never exceeds 3, so errors are taken
as independent and uniform (Higham and Mary, "A new approach to probabilistic rounding error
analysis", 2019): their variances add, and the bound is six standard deviations. The error of the
rational function itself, evaluated exactly, comes on top.
"""

import numpy as np
from scipy.special import erf

U = 2.0**-24
P = [-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
     -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02]  # fmt: skip
Q = [-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
     -1.42647390514189e-02]  # fmt: skip


def rounding(value):
    """Variance of the error of rounding to `value`: uniform within |value| u."""
    return (np.abs(value) * U) ** 2 / 3


def horner(coefficients, z, fused):
    """A polynomial in z, its derivative, and its error variance for an exact z."""
    value, slope = np.full_like(z, np.float32(coefficients[0])), np.zeros_like(z)
    variance = np.zeros_like(z)
    for c in coefficients[1:]:
        product = value * z
        slope = slope * z + value
        variance = variance * z**2 + (0 if fused else rounding(product))
        value = product + np.float64(np.float32(c))
        variance += rounding(value)
    return value, slope, variance


def gelu_error(x, fused):
    """Bound on |computed - exact| for float32 x, with or without fused multiply-adds."""
    x = np.asarray(x, np.float64)
    factor = np.float64(np.float32(np.sqrt(0.5)))
    v = np.clip(x * factor, -4, 4)
    z = v * v
    p, p_slope, p_variance = horner(P, z, fused)
    q, q_slope, q_variance = horner(Q, z, fused)
    e = v * p / q
    # What v and z err by acts on both polynomials at once and mostly cancels: erf is flat there.
    by_z = v * (p_slope * q - p * q_slope) / q**2
    by_v = np.where(np.abs(v) < 4, p / q + 2 * v * by_z, 0)
    e_variance = by_v**2 * rounding(v) + by_z**2 * rounding(z)
    e_variance += (z * p_variance + rounding(v * p) + e**2 * q_variance) / q**2 + rounding(e)
    variance = x**2 / 4 * (e_variance + rounding(e + 1)) + rounding(x * (e + 1) / 2)
    systematic = np.abs(x) / 2 * np.abs(e - erf(x * np.sqrt(0.5)))
    return 6 * np.sqrt(variance) + systematic + 2.0**-149
