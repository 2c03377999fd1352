"""A tree grown by its definition: every cut of every feature, by the rows themselves, in float64.

The specification of `pyllm.trees.grow_tree`: nodes are numbered as they are made, ties go to the
lower feature, then to missing values on the right, then to the lower cut.
"""

import numpy as np

from pyllm.trees import Tree


def codes_of(X, cuts):
    """Bin of every value; -1 is missing."""
    X = np.asarray(X, np.float64)
    codes = np.stack(
        [np.searchsorted(c, x, side="left") for c, x in zip(cuts, X.T, strict=True)], 1
    )
    return np.where(np.isnan(X), -1, codes)


def weight(g, h, p, low=-np.inf, high=np.inf):
    t = np.sign(g) * max(abs(g) - p.reg_alpha, 0.0)
    d = h + p.reg_lambda
    w = -t / d if d > 0 else 0.0
    if p.max_delta_step > 0:
        w = np.clip(w, -p.max_delta_step, p.max_delta_step)
    return min(max(w, low), high)


def score(g, h, p, low=-np.inf, high=np.inf):
    """What a leaf lowers the loss by, times two."""
    if p.reg_alpha == 0 and p.max_delta_step == 0 and (low, high) == (-np.inf, np.inf):
        return g * g / (h + p.reg_lambda) if h + p.reg_lambda > 0 else 0.0
    w = weight(g, h, p, low, high)
    return -(2.0 * g * w + (h + p.reg_lambda) * w * w + 2.0 * p.reg_alpha * abs(w))


def best_split(codes, n_bins, rows, g, h, p, low, high):
    """(gain, feature, bin, missing_left) or None; g, h: (n, outputs)."""
    total_g, total_h = g[rows].sum(0), h[rows].sum(0)
    parent = sum(score(a, b, p, low, high) for a, b in zip(total_g, total_h, strict=True))
    best = None
    for feature in range(codes.shape[1]):
        code = codes[rows, feature]
        gone = code < 0
        sign = 0 if p.monotone is None else p.monotone[feature]
        for missing_left in (False, True) if gone.any() else (False,):
            cuts = n_bins[feature] if gone.any() and not missing_left else n_bins[feature] - 1
            for cut in range(cuts):
                left = (gone & missing_left) | (~gone & (code <= cut))
                sizes = left.sum(), (~left).sum()
                if min(sizes) < max(p.min_child_samples, 1):
                    continue
                gl, hl = g[rows[left]].sum(0), h[rows[left]].sum(0)
                gr, hr = total_g - gl, total_h - hl
                if min(hl.sum(), hr.sum()) < p.min_child_weight or not (
                    min((hl + p.reg_lambda).min(), (hr + p.reg_lambda).min()) > 0
                ):
                    continue
                if sign:
                    wl, wr = (weight(a[0], b[0], p, low, high) for a, b in ((gl, hl), (gr, hr)))
                    if sign * (wr - wl) < 0:
                        continue
                gain = 0.0
                for o in range(len(gl)):
                    gain += score(gl[o], hl[o], p, low, high) + score(gr[o], hr[o], p, low, high)
                gain -= parent
                if gain > p.gamma and gain > 1e-12 and (best is None or gain > best[0]):
                    best = gain, feature, cut, missing_left
    return best


def grow(dataset, X, gradient, hessian, p, rows=None):
    """(Tree, leaf of every row)."""
    g = np.asarray(gradient, np.float64).reshape(len(X), -1)
    h = np.asarray(hessian, np.float64).reshape(len(X), -1)
    codes = codes_of(X, dataset.cuts)
    n_bins = [len(c) + 1 for c in dataset.cuts]
    taking_part = np.arange(len(X)) if rows is None else np.asarray(rows)
    nodes = []

    def add(rows, everyone, depth, low, high):
        node = {"rows": rows, "everyone": everyone, "depth": depth, "bounds": (low, high)}
        node["split"] = None
        if not p.max_depth or depth < p.max_depth:
            node["split"] = best_split(codes, n_bins, rows, g, h, p, low, high)
        node.update(feature=-1, threshold=0.0, left=-1, right=-1, default_left=False, gain=0.0)
        nodes.append(node)
        return len(nodes) - 1

    def order(i):
        return (-nodes[i]["split"][0] if p.growth == "leafwise" else nodes[i]["depth"]), i

    add(taking_part, np.arange(len(X)), 0, -np.inf, np.inf)
    leaves = 1
    while not p.max_leaves or leaves < p.max_leaves:
        ready = [i for i, n in enumerate(nodes) if n["split"] and n["feature"] < 0]
        if not ready:
            break
        node = nodes[min(ready, key=order)]
        gain, feature, cut, missing_left = node["split"]
        code = codes[node["rows"], feature]
        goes = np.where(code < 0, missing_left, code <= cut)
        if not (code < 0).any():  # nobody misses it here: with the majority
            missing_left = goes.sum() >= (~goes).sum()
        code = codes[node["everyone"], feature]
        all_go = np.where(code < 0, missing_left, code <= cut)
        low, high = node["bounds"]
        bounds = [(low, high), (low, high)]
        sign = 0 if p.monotone is None else p.monotone[feature]
        if sign:
            sides = node["rows"][goes], node["rows"][~goes]
            middle = sum(weight(g[s, 0].sum(), h[s, 0].sum(), p, low, high) for s in sides) / 2
            bounds = [(low, middle), (middle, high)][::sign]
        node.update(feature=feature, default_left=bool(missing_left), gain=gain)
        cuts = dataset.cuts[feature]
        node["threshold"] = cuts[cut] if cut < len(cuts) else np.inf
        depth = node["depth"] + 1
        node["left"] = add(node["rows"][goes], node["everyone"][all_go], depth, *bounds[0])
        node["right"] = add(node["rows"][~goes], node["everyone"][~all_go], depth, *bounds[1])
        leaves += 1

    leaf_of_row = np.zeros(len(X), np.int32)
    for i, node in enumerate(nodes):
        if node["feature"] < 0:
            leaf_of_row[node["everyone"]] = i
        sums = zip(g[node["rows"]].sum(0), h[node["rows"]].sum(0), strict=True)
        node["value"] = [weight(a, b, p, *node["bounds"]) for a, b in sums]
        node["cover"], node["count"] = h[node["rows"]].sum(), len(node["rows"])
    names = ("feature", "threshold", "left", "right", "default_left", "value", "gain", "cover")
    fields = {name: np.array([node[name] for node in nodes]) for name in (*names, "count")}
    return Tree(**fields), leaf_of_row
