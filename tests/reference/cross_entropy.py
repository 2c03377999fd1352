"""Cross-entropy in float64, by its formula; gradients of every row by theirs."""

import numpy as np


def log_sum_exp(x):
    top = x.max(axis=-1, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):
        return (top + np.log(np.exp(x - top).sum(axis=-1, keepdims=True)))[..., 0]


def rows(logits, targets, weight=None, ignore_index=-100, label_smoothing=0.0, z_loss=0.0):
    """Loss, gradient and weight of every row before the reduction."""
    x = np.asarray(logits, np.float64)
    x = x.reshape(np.asarray(targets).size, x.shape[-1])
    y = np.asarray(targets).reshape(-1)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else np.asarray(weight, np.float64)
    losses, gradients, weights = np.zeros(len(y)), np.zeros_like(x), np.zeros(len(y))
    for r in np.flatnonzero(y != ignore_index):
        hit, lse = y[r], log_sum_exp(x[r])
        loss = (1 - label_smoothing) * w[hit] * (lse - x[r, hit]) + z_loss * w[hit] * lse**2
        if label_smoothing:
            loss += label_smoothing / classes * (w * (lse - x[r])).sum()
        p = np.exp(x[r] - lse)
        slope = (1 - label_smoothing + 2 * z_loss * lse) * w[hit]
        g = p * (slope + label_smoothing * w.sum() / classes) - label_smoothing * w / classes
        g[hit] -= (1 - label_smoothing) * w[hit]
        losses[r], gradients[r], weights[r] = loss, g, w[hit]
    return losses, gradients, weights


def cross_entropy(logits, targets, reduction="mean", **options):
    """The loss, and the gradient of its sum over what the reduction leaves."""
    losses, gradients, weights = rows(logits, targets, **options)
    gradients = gradients.reshape(np.shape(logits))
    if reduction == "none":
        return losses.reshape(np.shape(targets)), gradients
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1 / weights.sum() if reduction == "mean" else 1.0
        return losses.sum() * share, np.where(gradients == 0, 0, gradients * share)


def linear_cross_entropy(hidden, weight, targets, bias=None, class_weight=None, **options):
    """Loss, dhidden, dweight, dbias."""
    hidden, weight = np.asarray(hidden, np.float64), np.asarray(weight, np.float64)
    logits = hidden @ weight.T
    if bias is not None:
        logits = logits + np.asarray(bias, np.float64)
    loss, g = cross_entropy(logits, targets, weight=class_weight, **options)
    rows = g.reshape(np.size(targets), weight.shape[0])
    inputs = hidden.reshape(np.size(targets), weight.shape[1])
    return loss, g @ weight, rows.T @ inputs, rows.sum(0)
