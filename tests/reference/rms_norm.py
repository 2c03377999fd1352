"""rms_norm by its definition, in float64."""

import numpy as np


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rms_norm_backward(grad, x, weight, eps):
    """(dx, dweight)."""
    rstd = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + eps)
    h, u = x * rstd, grad * weight
    dx = rstd * (u - h * (u * h).mean(-1, keepdims=True))
    return dx, (grad * h).reshape(-1, x.shape[-1]).sum(0)
