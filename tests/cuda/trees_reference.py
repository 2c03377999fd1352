"""The stages of growing a tree in NumPy, one row and one cut at a time."""

import math

import numpy as np


def codes_of(x, cuts):
    """(rows, features): how many of its cuts a value is above; NaN: one past the bins."""
    result = np.zeros(x.shape, np.int64)
    for f, edges in enumerate(cuts):
        below = np.searchsorted(edges, x[:, f].astype(np.float64), side="left")
        result[:, f] = np.where(np.isnan(x[:, f]), len(edges) + 1, below)
    return result


def bits_of_a_row(count):
    """Of a magnitude, where the sums of 8,192 rows must fit 31."""
    return min(int(math.log2(2**31 // min(max(count, 1), 8192))), 24) - 1


def quantize(values, count, wide=False):
    """(integers, unit): rounded to the power of two that leaves the sums of 8,192 rows 31 bits.

    Or, where wide, the sums of all rows 62.
    """
    bits = min(61 - int(math.log2(max(count, 1) * 2)), 50) if wide else bits_of_a_row(count)
    largest = float(np.abs(values).max(initial=0))
    scale = 1.0 if largest == 0 else math.ldexp(1.0, bits - math.frexp(largest)[1])
    return np.rint(values.astype(np.float64) * scale).astype(np.int64), 1 / scale


def histogram(codes, quantized, rows, offset):
    """(bins, 2) int64."""
    sums = np.zeros((offset[-1], 2), np.int64)
    for f in range(codes.shape[1]):
        np.add.at(sums, offset[f] + codes[rows, f], quantized[rows])
    return sums


class Objective:
    """What a leaf weighs and gains (Chen and Guestrin 2016), with l1, a limit and bounds."""

    def __init__(self, l1, l2, limit, bounds):
        self.l1, self.l2, self.limit, self.bounds = l1, l2, limit, bounds
        self.plain = l1 == 0 and limit == 0 and bounds == (-math.inf, math.inf)

    def weight(self, g, h):
        t = g - self.l1 if g > self.l1 else g + self.l1 if g < -self.l1 else 0.0
        d = h + self.l2
        w = -t / d if d > 0 else 0.0
        if self.limit > 0:
            w = min(max(w, -self.limit), self.limit)
        return min(max(w, self.bounds[0]), self.bounds[1])

    def gain(self, g, h, w):
        return -(2.0 * g * w + (h + self.l2) * w * w + 2.0 * self.l1 * abs(w))

    def of_cut(self, gl, hl, g, h, monotone):
        gr, hr = g - gl, h - hl
        if self.plain and monotone == 0:
            left, right = (
                np.float64(a) * a / (np.float64(b) + self.l2) for a, b in ((gl, hl), (gr, hr))
            )
            return float(left + right)
        if not (hl + self.l2 > 0 and hr + self.l2 > 0):
            return -math.inf
        wl, wr = self.weight(gl, hl), self.weight(gr, hr)
        if (monotone > 0 and wl > wr) or (monotone < 0 and wl < wr):
            return -math.inf
        return self.gain(gl, hl, wl) + self.gain(gr, hr, wr)


def best_split(
    histograms, totals, units, offset, has_missing, *, l1=0.0, l2=1.0, max_delta_step=0.0,
    min_gain=0.0, min_child_weight=0.0, least_hessian_sum=0, min_child_samples=0, counts=None,
    allowed=None, monotone=None,
    bounds=(-math.inf, math.inf),
):  # fmt: skip
    """(gain, feature, bin, missing_left, left sums (outputs, 2)) of one node.

    histograms (outputs, bins, 2), totals (outputs, 2): integers.
    """
    objective = Objective(l1, l2, max_delta_step, tuple(bounds))
    outputs = range(len(totals))
    whole = [(float(g) * units[0], float(h) * units[1]) for g, h in totals]
    parent, total_hessian = 0.0, 0.0
    for g, h in whole:
        parent += objective.gain(g, h, objective.weight(g, h))
        total_hessian += h
    least = max(min_child_weight, float(least_hessian_sum) * units[1])
    best = (-math.inf, -1, 0, 0, None)
    for f in range(len(offset) - 1):
        if allowed is not None and not allowed[f]:
            continue
        first, codes = offset[f], offset[f + 1] - offset[f]
        bins = codes - int(has_missing[f])
        absent = histograms[:, first + bins] if has_missing[f] else np.zeros((len(totals), 2), int)
        for side in (0, 1) if absent.any() else (0,):
            top, chosen = -math.inf, None
            for cut in range(bins if absent.any() and side == 0 else bins - 1):
                left = histograms[:, first : first + cut + 1].sum(1) + (absent if side else 0)
                gain, hessian = 0.0, 0.0
                for o in outputs:
                    gl, hl = float(left[o, 0]) * units[0], float(left[o, 1]) * units[1]
                    turn = 0 if monotone is None else monotone[f]
                    with np.errstate(divide="ignore", invalid="ignore"):
                        gain += objective.of_cut(gl, hl, *whole[o], turn)
                    hessian += hl
                heavy = hessian >= least and total_hessian - hessian >= least
                if counts is not None:
                    inside = counts[first : first + cut + 1].sum()
                    inside += counts[first + bins] if side else 0
                    # Every feature holds all rows.
                    others = counts[first : first + codes].sum() - inside
                    heavy = heavy and min(inside, others) >= min_child_samples
                if heavy and top < gain < math.inf:
                    top, chosen = gain, (cut, left)
            gained = top - parent
            if chosen and gained > min_gain and gained > 1e-12 * top and gained > best[0]:
                best = (gained, f, chosen[0], side, chosen[1])
    return best
