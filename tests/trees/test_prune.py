"""Pruning against what it minimises."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pyllm.trees import Dataset, Forest, TreeParameters, grow_tree
from pyllm.trees.prune import prune, pruning_path
from pyllm.trees.risk import squared_risk

SEEDS = st.integers(0, 2**32 - 1)


def grown(seed, leaves=12, outputs=1):
    """A tree of least squares, its rows, and the risk of its nodes."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=60), rng.integers(0, 9, 60)])
    y = rng.normal(size=(60, outputs)) + X[:, :1]
    weight = rng.integers(1, 4, 60).astype(float)
    dataset = Dataset(X, categorical=[1])
    hessian = np.repeat(weight[:, np.newaxis], outputs, 1)
    parameters = TreeParameters(max_leaves=leaves, reg_lambda=0.0)
    made = grow_tree(dataset, -y * hessian, hessian, parameters)
    tree, leaf = made.tree, made.leaf_of_row
    return X, tree, leaf, squared_risk(tree, leaf, y, weight), y, weight


@given(SEEDS, st.integers(1, 3))
def test_risk_is_the_weighted_square_around_the_mean(seed, outputs):
    _, tree, leaf, risk, y, weight = grown(seed, outputs=outputs)
    inside = [{node} for node in range(tree.n_nodes)]
    for node in range(tree.n_nodes - 1, -1, -1):
        if tree.feature[node] >= 0:
            inside[node] |= inside[tree.left[node]] | inside[tree.right[node]]
    for node in range(tree.n_nodes):
        rows = np.isin(leaf, list(inside[node]))
        mean = np.average(y[rows], 0, weight[rows])
        squares = weight[rows] @ ((y[rows] - mean) ** 2).sum(1)
        np.testing.assert_allclose(risk[node], squares / weight.sum(), atol=1e-12)


@settings(max_examples=40)
@given(SEEDS, st.floats(0, 0.2))
def test_no_subtree_costs_less(seed, alpha):
    _, tree, _, risk, _, _ = grown(seed)

    def least(node):
        """The least cost below a node, and the fewest leaves that have it."""
        own = (risk[node] + alpha, 1)
        if tree.feature[node] < 0:
            return own
        a, b = least(tree.left[node]), least(tree.right[node])
        both = (a[0] + b[0], a[1] + b[1])
        return own if own[0] <= both[0] + 1e-12 else both

    pruned, place = prune(tree, risk, alpha)
    leaves = np.flatnonzero(pruned.feature < 0)
    first = np.array([np.flatnonzero(place == leaf)[0] for leaf in leaves])  # the oldest of each
    cost = risk[first].sum() + alpha * len(leaves)
    expected, size = least(0)
    np.testing.assert_allclose(cost, expected, rtol=1e-9)
    assert len(leaves) == size


@given(SEEDS)
def test_what_is_left_is_the_same_tree_above(seed):
    X, tree, leaf, risk, _, _ = grown(seed)
    path = pruning_path(tree, risk)
    assert path.ccp_alphas[0] == 0.0
    assert (np.diff(path.ccp_alphas) >= 0).all()
    assert (np.diff(path.impurities) >= -1e-12).all()
    assert path.impurities[-1] == risk[0]
    for alpha in path.ccp_alphas:
        pruned, place = prune(tree, risk, alpha)
        forest = Forest.concat([pruned], n_features=2)
        np.testing.assert_array_equal(forest.leaves(X)[:, 0], place[leaf])
        kept = [np.flatnonzero(place == node)[0] for node in range(pruned.n_nodes)]
        np.testing.assert_array_equal(pruned.count, tree.count[kept])
    assert prune(tree, risk, path.ccp_alphas[-1])[0].n_nodes == 1
    assert prune(tree, risk, -1.0)[0] is tree
