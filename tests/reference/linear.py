"""Linear layers in float64, by their formulae."""

import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[float])


def sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def activate(x, kind):
    x = np.asarray(x, np.float64)
    if kind == "relu":
        return np.maximum(x, 0)
    if kind == "gelu":
        return x * (1 + erf(x / np.sqrt(2))) / 2
    if kind == "gelu_tanh":
        return x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
    if kind == "silu":
        return x * sigmoid(x)
    return x


def slope(x, kind):
    x = np.asarray(x, np.float64)
    if kind == "relu":
        return (x > 0).astype(np.float64)
    if kind == "gelu":
        return (1 + erf(x / np.sqrt(2))) / 2 + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    if kind == "gelu_tanh":
        t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
        return (1 + t) / 2 + x * (1 - t * t) / 2 * np.sqrt(2 / np.pi) * (1 + 0.134145 * x**2)
    if kind == "silu":
        return sigmoid(x) * (1 + x * (1 - sigmoid(x)))
    return np.ones_like(x)


def linear(x, weight, bias=None, activation=None):
    z = np.asarray(x, np.float64) @ np.asarray(weight, np.float64).T
    if bias is not None:
        z = z + np.asarray(bias, np.float64)
    return activate(z, activation), z


def linear_backward(grad, x, weight, activation=None, preactivation=None):
    g = np.asarray(grad, np.float64)
    if activation is not None:
        g = g * slope(preactivation, activation)
    x, weight = np.asarray(x, np.float64), np.asarray(weight, np.float64)
    count = math.prod(g.shape[:-1])
    rows, inputs = g.reshape(count, weight.shape[0]), x.reshape(count, weight.shape[1])
    return g @ weight, rows.T @ inputs, rows.sum(0)
