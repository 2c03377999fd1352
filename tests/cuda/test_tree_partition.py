"""The stable partition of rows through the emulator."""

import numpy as np
import pytest

from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import ORDERS, CudaError, Out

SOURCES = [KERNELS / "tree_partition.cu"]
TILE = 2048


def problem(rng, counts, features=3, bins=30, wide=False):
    """Nodes of `counts` rows: numeric splits, categorical ones, and leaves."""
    n, nodes = sum(counts), len(counts)
    codes = rng.integers(0, bins + 1, (features, n)).astype(np.uint16 if wide else np.uint8)
    categorical = rng.random(nodes) < 0.4
    words = -(-(bins + 1) // 32)
    return {
        "codes": codes,
        "rows": rng.permutation(n).astype(np.int32),
        "segments": np.stack([np.cumsum([0, *counts[:-1]]), counts], 1).astype(np.int64),
        "feature": np.where(rng.random(nodes) < 0.2, -1, rng.integers(0, features, nodes)).astype(
            np.int32
        ),
        "bin": rng.integers(0, bins, nodes).astype(np.int32),
        "missing_code": np.where(rng.random(nodes) < 0.5, bins, -1).astype(np.int32),
        "missing_left": rng.integers(0, 2, nodes).astype(np.int32),
        "category_start": np.where(categorical, words * np.arange(nodes), -1),
        "category_bits": rng.integers(0, 2**32, words * nodes, dtype=np.uint32),
    }


def run(emulator, made, **how):
    nodes, most = len(made["segments"]), int(made["segments"][:, 1].max())
    args = {
        **made, "sorted": Out(made["rows"].shape, np.int32, made["rows"]),
        "counts": Out((nodes * max(1, -(-most // TILE)) + 1,), np.int32),
        "lefts": Out((nodes,), np.int64), "nodes": nodes, "most_rows": most,
        "codes_column_stride": made["codes"].shape[1], "wide": made["codes"].dtype == np.uint16,
    }  # fmt: skip
    return emulator.call("pyllm_cuda_tree_partition", "TreePartition", **{**args, **how})


def expected(made):
    result, lefts = made["rows"].copy(), []
    for i, (start, count) in enumerate(made["segments"]):
        rows = made["rows"][start : start + count]
        code = made["codes"][made["feature"][i], rows].astype(int)
        if made["feature"][i] < 0:
            left = np.ones(count, bool)
        elif made["category_start"][i] >= 0:
            bits = made["category_bits"][made["category_start"][i] + code // 32]
            left = bits >> (code % 32).astype(np.uint32) & 1 == 1
        else:
            left = code <= made["bin"][i]
        if made["feature"][i] >= 0 and made["missing_code"][i] >= 0:
            left = np.where(code == made["missing_code"][i], made["missing_left"][i] == 1, left)
        result[start : start + count] = np.concatenate([rows[left], rows[~left]])
        lefts.append(left.sum())
    return result, lefts


def check(got, made):
    rows, lefts = expected(made)
    np.testing.assert_array_equal(got["sorted"], rows)
    np.testing.assert_array_equal(got["lefts"], lefts)


@pytest.mark.parametrize("wide", [False, True], ids=["narrow", "wide"])
@pytest.mark.parametrize("counts", [[1], [40, 0, 33], [5000, 7, 2048], [3] * 40], ids=str)
def test_rows_keep_their_order(emulator_for, rng, counts, wide):
    made = problem(rng, counts, bins=500 if wide else 30, wide=wide)
    check(run(emulator_for("plain", SOURCES), made), made)


@pytest.mark.parametrize("variant", ["asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_sanitized_in_every_order(emulator_for, rng, variant, order):
    made = problem(rng, [300, 0, 2100])
    check(run(emulator_for(variant, SOURCES), made, order=order, order_seed=9), made)


def test_rows_move_once(emulator_for, rng):
    """Rows and codes are read twice, to count and to move; rows are written once."""
    made = problem(rng, [2048])
    made["feature"][:], made["category_start"][:] = 1, -1
    kernels = run(emulator_for("plain", SOURCES), made, counted=True).kernels
    count = next(v for k, v in kernels.items() if "count" in k)
    move = next(v for k, v in kernels.items() if "move" in k)
    node = 256 * (2 * 8 + 8 + 4 * 4)  # each thread: the node's rows and its split
    assert count["global_read_bytes"] == 2048 * (4 + 1) + node
    assert move["global_read_bytes"] == 2048 * (4 + 1) + node + 256 * 3 * 4
    assert move["global_write_bytes"] == 2048 * 4 + 8
    assert count["atomics"] == move["atomics"] == 0


@pytest.mark.parametrize("bad", [{"nodes": -1}, {"most_rows": -1}], ids=str)
def test_bad_arguments_are_refused(emulator_for, rng, bad):
    with pytest.raises(CudaError, match="error 1"):
        run(emulator_for("plain", SOURCES), problem(rng, [5]), **bad)
