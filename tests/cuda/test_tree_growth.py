"""Whole trees grown by the CUDA kernels: node for node those of the CPU's engine."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from pyllm.trees.dataset import Dataset
from pyllm.trees.grow import grow_tree
from pyllm.trees.tree_parameters import TreeParameters
from tests.cuda import test_tree_histogram as histograms
from tests.cuda import test_tree_partition as partitions
from tests.cuda.emulator.build import KERNELS
from tests.cuda.emulator.client import Out
from tests.cuda.test_tree_bins import bin_values, gradients
from tests.cuda.trees_reference import bits_of_a_row

SOURCES = [KERNELS / f"tree_{name}.cu" for name in ("bins", "histogram", "partition", "split")]

SEED = 12


@dataclass
class Node:
    start: int
    count: int
    totals: np.ndarray
    depth: int
    feature: int = -1
    threshold: float = 0.0
    left: int = -1
    right: int = -1
    default_left: bool = False
    gain: float = 0.0


@dataclass
class Grower:
    """Level by level; the CPU's order of nodes."""

    emulator: object
    x: np.ndarray
    cuts: list
    parameters: TreeParameters
    nodes: list = field(default_factory=list)

    def grow(self, gradient, hessian):
        n, self.outputs = len(gradient), gradient.size // len(gradient)
        codes = bin_values(self.emulator, self.x, self.cuts)
        self.by_row, self.by_column = codes["by_row"], codes["by_column"]
        self.has_missing = np.isnan(self.x).any(0).astype(np.uint8)
        bins = np.array([len(c) + 1 for c in self.cuts])
        self.offset = np.cumsum([0, *(bins + self.has_missing)]).astype(np.int32)
        few = {"stochastic": 1, "seed": SEED, "stream": 4 << 61, "levels": 7}
        made = gradients(
            self.emulator, gradient, hessian, **(few if self.parameters.quantized else {})
        )
        few_bits = gradient.size * 2.0 ** (bits_of_a_row(n) - 1)
        self.wide = bool((512 * made["sums"][:2] < few_bits).any())
        self.wide = self.wide and not self.parameters.quantized
        if self.wide:
            made = gradients(self.emulator, gradient, hessian, wide=1)
        self.quantized, self.units = made["quantized"], made["units"]
        least = self.parameters.min_child_samples * self.outputs
        self.least_hessian_sum = least * max(made["sums"][2], 0)
        self.rows = np.arange(n, dtype=np.int32)
        self.nodes = [Node(0, n, made["totals"], 0)]
        level = [0]
        while level := self.split_level(level):
            pass
        return self.nodes

    def may_split(self, node):
        deepest = self.parameters.max_depth or 99
        return node.count >= 2 * max(self.parameters.min_child_samples, 1) and node.depth < deepest

    def split_level(self, level):
        level = [i for i in level if self.may_split(self.nodes[i])]
        if not level:
            return []
        found = self.find_splits(level)
        level = [i for k, i in enumerate(level) if found["features_found"][k] >= 0]
        chosen = found["features_found"] >= 0
        found = {name: values[chosen] for name, values in found.items()}
        return self.partition(level, found) if level else []

    def find_splits(self, level):
        total = int(self.offset[-1])
        segments = [(self.nodes[i].start, self.nodes[i].count) for i in level]
        sums = np.stack(
            [
                histograms.run(
                    self.emulator, self.by_row, self.offset, self.quantized[o], self.rows, segments
                )["histograms"]
                for o in range(self.outputs)
            ],
            1,
        )
        nodes, features, p = len(level), len(self.cuts), self.parameters
        ones = np.tile(np.array([0, 1], np.int32), (len(self.x), 1))
        counts = histograms.run(self.emulator, self.by_row, self.offset, ones, self.rows, segments)[
            "histograms"
        ]
        return self.emulator.call(
            "pyllm_cuda_tree_split", "TreeSplit", histograms=sums, places=None,
            totals=np.stack([self.nodes[i].totals for i in level]), units=self.units,
            bin_offset=self.offset, has_missing=self.has_missing, allowed=None, monotone=None,
            bounds=None, counts=counts, node_rows=np.array([count for _, count in segments]),
            min_child_samples=p.min_child_samples, feature_gains=Out((nodes, features), np.float64),
            feature_cuts=Out((nodes, features), np.int32), gains=Out((nodes,), np.float64),
            features_found=Out((nodes,), np.int32), bins=Out((nodes,), np.int32),
            missing_left=Out((nodes,), np.int32), saw_missing=None,
            left=Out((nodes, self.outputs, 2), np.int64),
            nodes=nodes, outputs=self.outputs, features=features, total_bins=total,
            l1=p.reg_alpha, l2=p.reg_lambda, max_delta_step=p.max_delta_step, min_gain=p.gamma,
            min_child_weight=p.min_child_weight, least_hessian_sum=self.least_hessian_sum,
        ).outputs  # fmt: skip

    def partition(self, level, found):
        features = found["features_found"]
        bins = np.array([len(self.cuts[f]) + 1 for f in features], np.int32)
        got = partitions.run(
            self.emulator,
            {
                "codes": self.by_column, "rows": self.rows,
                "segments": np.array([(self.nodes[i].start, self.nodes[i].count) for i in level]),
                "feature": features, "bin": found["bins"],
                "missing_code": np.where(self.has_missing[features] > 0, bins, -1).astype(np.int32),
                "missing_left": found["missing_left"],
                "category_start": np.full(len(level), -1), "category_bits": None,
            },
        )  # fmt: skip
        self.rows = got["sorted"]
        children = []
        for k, i in enumerate(level):
            node, lefts = self.nodes[i], int(got["lefts"][k])
            edges = np.append(self.cuts[features[k]], np.inf)
            missing = np.isnan(self.x[self.rows[node.start : node.start + node.count], features[k]])
            node.feature, node.threshold = int(features[k]), edges[found["bins"][k]]
            node.gain = np.float32(found["gains"][k])
            node.default_left = (
                bool(found["missing_left"][k]) if missing.any() else 2 * lefts >= node.count
            )
            node.left, node.right = len(self.nodes), len(self.nodes) + 1
            left, depth = found["left"][k], node.depth + 1
            self.nodes += [
                Node(node.start, lefts, left, depth),
                Node(node.start + lefts, node.count - lefts, node.totals - left, depth),
            ]
            children += [node.left, node.right]
        return children


@pytest.mark.parametrize("outlier", [1.0, 1e6])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"quantized": True},
        {"reg_alpha": 2.0, "gamma": 0.5},
        {"min_child_samples": 20, "min_child_weight": 3.0, "max_delta_step": 0.4},
    ],
    ids=str,
)
def test_trees_are_the_cpus(emulator_for, rng, settings, outputs, outlier):
    x = rng.normal(size=(1500, 6))
    x[:, 1] = rng.integers(0, 4, 1500)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[:, 5] = rng.normal(size=1500)
    shape = (1500, outputs) if outputs > 1 else (1500,)
    target = np.nan_to_num(x[:, 0]) * 2 + (np.nan_to_num(x[:, 1]) > 1) + rng.normal(size=1500)
    gradient = (rng.normal(size=shape).T + target).T.astype(np.float32)
    gradient.flat[0] = outlier
    hessian = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    parameters = TreeParameters(growth="depthwise", max_depth=4, max_leaves=None, **settings)
    dataset = Dataset(x, max_bin=32)
    tree = grow_tree(dataset, gradient, hessian, parameters, seed=SEED).tree
    grower = Grower(emulator_for("plain", SOURCES), x, dataset.cuts, parameters)
    nodes = grower.grow(gradient, hessian)
    assert grower.wide == (outlier > 1 and not parameters.quantized)
    assert len(nodes) > (9 if outlier == 1 or grower.wide else 2)
    for name in ("feature", "threshold", "left", "right", "default_left", "gain", "count"):
        np.testing.assert_array_equal([getattr(n, name) for n in nodes], getattr(tree, name), name)
