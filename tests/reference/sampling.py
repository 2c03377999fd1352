"""Which tokens each filter keeps, by the definition, one row at a time, in float64."""

import numpy as np


def top_k(logits, k):
    return logits >= np.sort(logits)[::-1][min(k, len(logits)) - 1]


def top_p(logits, p):
    probabilities = np.exp(logits - logits.max())
    probabilities /= probabilities.sum()
    kept, mass = np.zeros(len(logits), bool), 0.0
    for i in sorted(range(len(logits)), key=lambda i: -probabilities[i]):
        if mass >= p:
            break
        kept[i] = True
        mass += probabilities[i]
    return kept


def min_p(logits, p):
    probabilities = np.exp(logits - logits.max())
    return probabilities >= p * probabilities.max()
