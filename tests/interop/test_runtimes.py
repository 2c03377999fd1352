"""torch, JAX, scikit-learn and SciPy in one process with pyllm, imported before or after it; and
child processes of such a process."""

import os
import subprocess
import sys

import pytest

for peer in ("torch", "jax", "sklearn"):
    pytest.importorskip(peer)

PEERS = {
    "torch": "import torch; x = torch.ones(300, 300); assert float((x @ x)[0, 0]) == 300",
    "jax": "import jax.numpy as jnp; x = jnp.ones((300, 300)); assert float((x @ x)[0, 0]) == 300",
    "scipy": "import scipy.linalg; assert abs(scipy.linalg.det(np.eye(300, dtype='f')) - 1) < 1e-6",
    "sklearn": (
        "from sklearn.linear_model import LinearRegression; "
        "X = np.random.default_rng(0).normal(size=(500, 20)); "
        "assert LinearRegression().fit(X, X[:, 0]).score(X, X[:, 0]) > 0.999"
    ),
}
OURS = """
from pyllm import ops
def ours(_=None):
    x = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    y = ops.softmax(ops.linear(x, x))
    assert abs(float(y.sum()) - 512) < 1e-2
    return y.tobytes()
"""
CHILDREN = """
import multiprocessing
if __name__ == "__main__":
    expected = ours()
    context = multiprocessing.get_context({method!r})
    with context.Pool(2) as pool:
        assert pool.map_async(ours, range(4)).get(60) == [expected] * 4
    assert ours() == expected
    print("done")
"""


def run(tmp_path, code):
    script = tmp_path / "script.py"  # spawn imports it again
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script],
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "done"


@pytest.mark.parametrize("first", ["pyllm", "peers"])
def test_all_in_one_process(tmp_path, first):
    peers = [f"{use}\nours()" for use in PEERS.values()]
    parts = [OURS, "ours()", *peers] if first == "pyllm" else [*PEERS.values(), OURS, *peers]
    run(tmp_path, "\n".join(["import numpy as np", *parts, "print('done')"]))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("peer", ["torch", "sklearn"])
def test_children(tmp_path, method, peer):
    code = ["import numpy as np", OURS, PEERS[peer], CHILDREN.format(method=method)]
    run(tmp_path, "\n".join(code))
