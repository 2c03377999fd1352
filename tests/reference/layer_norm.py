"""layer_norm by its definition, in float64."""

import numpy as np


def layer_norm(x, weight, bias, eps):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(x.var(-1, keepdims=True) + eps) * weight + bias


def layer_norm_backward(grad, x, weight, eps):
    """(dx, dweight, dbias)."""
    n = x.shape[-1]
    rstd = 1 / np.sqrt(x.var(-1, keepdims=True) + eps)
    xhat = (x - x.mean(-1, keepdims=True)) * rstd
    g = grad * weight
    dx = rstd * (g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True))
    return dx, (grad * xhat).reshape(-1, n).sum(0), grad.reshape(-1, n).sum(0)
