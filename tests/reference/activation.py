"""Activations and gated linear units in float64, by their formulae, with their derivatives."""

import numpy as np
from scipy.special import erf, expit


def gelu(x):
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def gelu_slope(x):
    return 0.5 * (1 + erf(x / np.sqrt(2))) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_tanh_slope(x):
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    inner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner


def silu(x):
    return x * expit(x)


def silu_slope(x):
    return expit(x) * (1 + x * expit(-x))


def relu(x):
    return np.maximum(x, 0)


def relu_slope(x):
    return (x > 0).astype(np.float64)


ACT = {"gelu": gelu, "gelu_tanh": gelu_tanh, "silu": silu, "relu": relu}
SLOPE = {
    "gelu": gelu_slope,
    "gelu_tanh": gelu_tanh_slope,
    "silu": silu_slope,
    "relu": relu_slope,
}
