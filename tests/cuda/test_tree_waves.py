"""How trees are grown on a device: little memory, few waits for it."""

import numpy as np
import pytest

from pyllm import cuda
from pyllm.trees import Dataset, TreeParameters, grow_tree
from pyllm.trees.tree import NODE_DTYPES
from tests.cuda.emulator.module import Runtime, emulated_module
from tests.cuda.test_tree_training import SEED, make_derivatives, make_rows


@pytest.fixture(scope="module")
def runtime():
    return Runtime()


@pytest.fixture(autouse=True)
def module(monkeypatch):
    monkeypatch.setattr(cuda, "extension", emulated_module)


def test_little_memory(rng, runtime):
    """Room for few histograms: those that had to go are summed anew."""
    x = rng.normal(size=(1200, 40))
    gradient, hessian = make_derivatives(rng, x)
    parameters = TreeParameters(growth="leafwise", max_leaves=100)
    data = Dataset(x, max_bin=250, device="cuda")
    histogram = 40 * 250 * 16
    runtime.set_memory_limit(runtime.in_use + 30 * histogram)
    try:
        small = grow_tree(data, gradient, hessian, parameters, seed=SEED).tree
        runtime.set_memory_limit(runtime.in_use + histogram)
        with pytest.raises(MemoryError, match="no memory for"):
            grow_tree(data, gradient, hessian, parameters, seed=SEED)
    finally:
        runtime.set_memory_limit(1 << 30)
    tree = grow_tree(Dataset(x, max_bin=250), gradient, hessian, parameters, seed=SEED).tree
    for name in NODE_DTYPES:
        np.testing.assert_array_equal(getattr(small, name), getattr(tree, name), name)


@pytest.mark.parametrize("growth", ["leafwise", "depthwise"])
def test_waits_less_often_than_it_splits(rng, runtime, growth):
    """Once a level; leaf-wise for all splits together that the tree may take next."""
    x = make_rows(rng)
    gradient, hessian = make_derivatives(rng, x)
    data = Dataset(x, max_bin=32, device="cuda")
    runtime.log()
    tree = grow_tree(data, gradient, hessian, TreeParameters(growth=growth, max_leaves=31)).tree
    waits = sum(what == "synchronize" for what, _, _ in runtime.log())
    waits -= 4  # gradients, root, leaves, and for the leaf of each row
    depth = np.zeros(tree.n_nodes, np.int64)
    for node in np.flatnonzero(tree.feature >= 0):
        depth[[tree.left[node], tree.right[node]]] = depth[node] + 1
    assert tree.n_leaves == 31
    assert waits <= (depth.max() if growth == "depthwise" else 15)
