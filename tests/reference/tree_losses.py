"""Losses of boosting in float64: their values, and LambdaRank's derivatives pair by pair."""

import math

import numpy as np


def sigmoid(s):
    return np.where(s >= 0, 1 / (1 + np.exp(-np.abs(s))), 1 - 1 / (1 + np.exp(-np.abs(s))))


def row_loss(name, parameter, s, y):
    """The loss whose derivatives the kernel gives, at margin s and target y."""
    match name:
        case "squared":
            return 0.5 * (s - y) ** 2
        case "absolute":
            return np.abs(s - y)
        case "huber":
            size = np.abs(s - y)
            return np.where(size <= parameter, 0.5 * size**2, parameter * (size - parameter / 2))
        case "quantile":
            return np.where(y >= s, parameter * (y - s), (1 - parameter) * (s - y))
        case "poisson":
            return np.exp(s) - y * s
        case "gamma":
            return s + y * np.exp(-s)
        case "tweedie":
            one, two = 1 - parameter, 2 - parameter
            return np.exp(two * s) / two - y * np.exp(one * s) / one
        case "logistic":
            return np.logaddexp(0, s) - y * s


def row_derivatives(name, parameter, s, y):
    """(gradient, hessian) as documented: hessians of piecewise linear losses are 1."""
    ones = np.ones_like(s)
    match name:
        case "squared":
            return s - y, ones
        case "absolute":
            return np.sign(s - y), ones
        case "huber":
            return np.clip(s - y, -parameter, parameter), ones
        case "quantile":
            return np.where(s > y, 1 - parameter, np.where(s < y, -parameter, 0)), ones
        case "poisson":
            return np.exp(s) - y, np.exp(s + 0.7)
        case "gamma":
            return 1 - y * np.exp(-s), y * np.exp(-s)
        case "tweedie":
            left, right = y * np.exp((1 - parameter) * s), np.exp((2 - parameter) * s)
            return right - left, (2 - parameter) * right - (1 - parameter) * left
        case "logistic":
            p = sigmoid(s)
            return p - y, np.maximum(p * (1 - p), 1e-16)


def softmax_derivatives(s, y):
    """s: (classes, n)."""
    e = np.exp(s - s.max(0))
    p = e / e.sum(0)
    factor = len(s) / (len(s) - 1)
    return p - (np.arange(len(s))[:, None] == y), np.maximum(factor * p * (1 - p), 1e-16)


def dcg(relevance, k):
    return sum((2.0**r - 1) / math.log2(2 + i) for i, r in enumerate(relevance[:k]))


def average_precision(hits):
    found, total = 0, 0.0
    for i, hit in enumerate(hits):
        if hit:
            found += 1
            total += found / (i + 1)
    return total / found if found else 0.0


def rank_derivatives(gain, s, relevance, sigma, truncation, normalize):
    """One query. The change of the measure is found by really swapping two rows."""
    n = len(s)
    order = sorted(range(n), key=lambda i: (-s[i], i))
    ranked = [float(relevance[i]) for i in order]
    gradient, hessian, total = np.zeros(n), np.zeros(n), 0.0
    best = dcg(sorted(ranked, reverse=True), truncation)
    for i in range(min(truncation, n)):
        for j in range(i + 1, n):
            high, low = (i, j) if ranked[i] > ranked[j] else (j, i)
            if gain == "map":
                hits = [r > 0 for r in ranked]
                if hits[i] == hits[j]:
                    continue
                swapped = hits.copy()
                swapped[i], swapped[j] = swapped[j], swapped[i]
                change = abs(average_precision(swapped) - average_precision(hits))
            else:
                if ranked[i] == ranked[j]:
                    continue
                change = abs(2.0 ** ranked[i] - 2.0 ** ranked[j])
                change *= abs(1 / math.log2(2 + i) - 1 / math.log2(2 + j)) / best
            apart = s[order[high]] - s[order[low]]
            if normalize and s[order[0]] != s[order[-1]]:
                change /= 0.01 + abs(apart)
            rho = 1 / (1 + math.exp(sigma * apart))
            gradient[order[high]] -= sigma * change * rho
            gradient[order[low]] += sigma * change * rho
            hessian[order[high]] += sigma**2 * change * rho * (1 - rho)
            hessian[order[low]] += sigma**2 * change * rho * (1 - rho)
            total += 2 * sigma * change * rho
    if normalize and total > 0:
        gradient *= math.log2(1 + total) / total
        hessian *= math.log2(1 + total) / total
    return gradient, hessian


def weighted_quantile(x, weight, level):
    """Smallest x with W(x) >= level W; the mean with the next one if equal."""
    keep = weight > 0
    order = np.argsort(x[keep], kind="stable")
    x, weight = x[keep][order], weight[keep][order]
    if len(x) == 0:
        return 0.0
    below, wanted = np.cumsum(weight), level * weight.sum()
    i = int(np.argmax(below >= wanted * (1 - 1e-12)))
    if i + 1 < len(x) and below[i] <= wanted * (1 + 1e-12):
        return 0.5 * (x[i] + x[i + 1])
    return x[i]
