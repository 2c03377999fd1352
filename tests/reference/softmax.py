"""softmax in float64, by its formula."""

import numpy as np


def softmax(x, axis=-1, temperature=1.0, mask=None):
    return np.exp(log_softmax(x, axis, temperature, mask))


def log_softmax(x, axis=-1, temperature=1.0, mask=None):
    x = np.asarray(x, np.float64) / temperature
    if mask is not None:
        x = np.where(mask, x, -np.inf)
    top = x.max(axis=axis, keepdims=True, initial=-np.inf)
    top = np.where(np.isneginf(top), 0, top)
    with np.errstate(divide="ignore", invalid="ignore"):
        return x - top - np.log(np.exp(x - top).sum(axis=axis, keepdims=True))


def softmax_backward(grad, y, axis=-1, temperature=1.0):
    grad, y = np.asarray(grad, np.float64), np.asarray(y, np.float64)
    return y * (grad - (grad * y).sum(axis=axis, keepdims=True)) / temperature


def log_softmax_backward(grad, y, axis=-1, temperature=1.0):
    grad, y = np.asarray(grad, np.float64), np.asarray(y, np.float64)
    return (grad - np.exp(y) * grad.sum(axis=axis, keepdims=True)) / temperature
