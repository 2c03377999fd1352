"""A forest as an ONNX model, for runtimes without Python (extra `onnx`).

The operator is TreeEnsemble of ai.onnx.ml, opset 5. What it lacks stands around it: means and
base_score are elementwise operators after the trees, rounding to float32 is a Cast before them, a
tree of vector leaves is written once an output. Inner nodes and leaves are numbered apart there:
the rank of a node among the inner ones, or among the leaves, is its number.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyllm.trees.dump import categories
from pyllm.trees.objective import Link

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest

_LEQ, _LT, _MEMBER = 0, 1, 6  # node modes
_SUM = 1  # aggregation
_OPSETS = {"": 18, "ai.onnx.ml": 5}


def to_onnx(
    forest: "Forest", *, dtype: Any = np.float64, link: Link | None = None, classes: Any = None
) -> Any:
    """See `Forest.to_onnx`.

    With a link the output is "prediction", its result; with classes too there are two, "label" and
    "probabilities".
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("to_onnx needs onnx: pip install 'pyllm[onnx]'") from error
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected float32 or float64, got {dtype}")
    if forest.n_features == 0:
        raise ValueError("forest: expected at least one feature for ONNX")
    graph = _Graph(onnx, dtype)
    rows = "X"
    if forest.float32_input and dtype == np.float64:
        rows = graph.add("Cast", graph.add("Cast", rows, to=onnx.TensorProto.FLOAT), to=graph.type)
    margin = graph.add("TreeEnsemble", rows, domain="ai.onnx.ml", **_trees(forest, graph))
    if forest.average:
        counts = forest.trees_of_outputs(range(forest.n_trees))
        margin = graph.add("Div", margin, graph.constant(counts.reshape(1, -1)))
    margin = graph.add("Add", margin, graph.constant(forest.base_score.reshape(1, -1)))
    response = margin if link is None else _respond(graph, margin, link)
    batch = "rows"
    if classes is None:
        name = "margin" if link is None else "prediction"
        graph.give(name, response, graph.type, [batch, forest.n_outputs])
    else:
        if len(classes) == 2 and forest.n_outputs == 1:
            rest = graph.add("Sub", graph.constant(np.ones((1, 1))), response)
            response = graph.add("Concat", rest, response, axis=1)
        winner = graph.add("ArgMax", response, axis=1, keepdims=0)
        labels, kind = _labels(onnx, classes)
        graph.give("label", graph.add("Gather", graph.tensor(labels), winner), kind, [batch])
        graph.give("probabilities", response, graph.type, [batch, len(classes)])
    return graph.model("pyllm", [batch, forest.n_features])


def _respond(graph: "_Graph", margin: str, link: Link) -> str:
    """Margins through the inverse link of a loss."""
    match link:
        case "identity":
            return margin
        case "exp":
            return graph.add("Exp", margin)
        case "sigmoid":
            return graph.add("Sigmoid", margin)
        case "softmax":
            return graph.add("Softmax", margin, axis=1)
        case "one_vs_all":
            p = graph.add("Sigmoid", margin)
            axis = graph.tensor(np.array([1], np.int64))
            return graph.add("Div", p, graph.add("ReduceSum", p, axis, keepdims=1))
        case _:
            raise ValueError(f"link: {link!r} cannot be exported to ONNX")


def _labels(onnx: Any, classes: Any) -> tuple[np.ndarray, int]:
    array = np.asarray(classes)
    if array.dtype.kind in "biu":
        return array.astype(np.int64), onnx.TensorProto.INT64
    if array.dtype.kind == "f" and np.array_equal(array, np.round(array)):
        return array.astype(np.int64), onnx.TensorProto.INT64
    return np.array([str(c) for c in array], object), onnx.TensorProto.STRING


def _trees(forest: "Forest", graph: "_Graph") -> dict[str, Any]:
    """Attributes of TreeEnsemble."""
    nodes: dict[str, list[np.ndarray]] = {name: [] for name in _NODE_FIELDS}
    members: list[np.ndarray] = []
    weights, targets, roots = [], [], []
    n_nodes = n_leaves = 0
    for t in range(max(forest.n_trees, 1)):
        if forest.n_trees:
            output = int(forest.tree_output[t])
            span = slice(int(forest.tree_offset[t]), int(forest.tree_offset[t + 1]))
            value, outputs = forest.value[span], range(forest.n_outputs) if output < 0 else [output]
            part, sets = _split_nodes(forest, span, graph.dtype)
            leaf = forest.feature[span] < 0
        else:  # the operator has to have a tree
            value, outputs = np.zeros((1, 1)), [0]
            leaf, part, sets = np.ones(1, np.bool_), _stump(graph.dtype), []
        for column, k in enumerate(outputs):
            roots.append(n_nodes)
            for name, array in part.items():
                nodes[name].append(array)
            for name, at in (("true", "trueleafs"), ("false", "falseleafs")):
                to = nodes[f"{name}nodeids"]
                to[-1] = to[-1] + np.where(part[at] != 0, n_leaves, n_nodes)
            members += sets
            weights.append(value[leaf, column].astype(graph.dtype))
            targets.append(np.full(int(leaf.sum()), k))
            n_nodes += len(part["modes"])
            n_leaves += int(leaf.sum())
    joined = {name: np.concatenate(arrays) for name, arrays in nodes.items()}
    attributes: dict[str, Any] = {
        "n_targets": forest.n_outputs,
        "aggregate_function": _SUM,
        "post_transform": 0,
        "tree_roots": roots,
        "leaf_targetids": np.concatenate(targets).tolist(),
        "leaf_weights": graph.proto("leaf_weights", np.concatenate(weights)),
        "nodes_modes": graph.proto("nodes_modes", joined["modes"]),
        "nodes_splits": graph.proto("nodes_splits", joined["splits"]),
    }
    for name in _NODE_FIELDS[2:]:
        attributes[f"nodes_{name}"] = joined[name].tolist()
    if members:
        ended = [np.append(m, np.nan) for m in members]
        values = np.concatenate(ended).astype(graph.dtype)
        attributes["membership_values"] = graph.proto("membership_values", values)
    return attributes


_NODE_FIELDS = (
    "modes",
    "splits",
    "featureids",
    "truenodeids",
    "trueleafs",
    "falsenodeids",
    "falseleafs",
    "missing_value_tracks_true",
)


def _split_nodes(
    forest: "Forest", span: slice, dtype: np.dtype
) -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """The inner nodes of a tree, children numbered from 0, and the sets of its categorical ones."""
    feature = forest.feature[span]
    inner = feature >= 0
    if not inner.any():
        return _stump(dtype), []
    if (forest.zero_is_missing[span] & inner).any():
        raise ValueError("forest: ONNX has no splits where zero counts as missing")
    rank = np.where(inner, np.cumsum(inner), np.cumsum(~inner)) - 1
    left, right = forest.left[span][inner], forest.right[span][inner]
    categorical = forest.category_offset[span][inner] >= 0
    at = np.flatnonzero(inner)[categorical] + span.start
    sets = [categories(forest, int(i)) for i in at]
    mode = np.full(len(left), _LEQ, np.uint8)
    mode[categorical] = [_MEMBER if len(s) else _LT for s in sets]
    split = _rounded_down(forest.threshold[span][inner], dtype)
    split[mode == _LT] = -np.inf  # an empty set: nothing is below that
    split[mode == _MEMBER] = 0
    part = {
        "modes": mode,
        "splits": split,
        "featureids": feature[inner],
        "truenodeids": rank[left],
        "trueleafs": (~inner[left]).astype(np.int64),
        "falsenodeids": rank[right],
        "falseleafs": (~inner[right]).astype(np.int64),
        "missing_value_tracks_true": forest.default_left[span][inner].astype(np.int64),
    }
    return part, [s for s in sets if len(s)]


def _stump(dtype: np.dtype) -> dict[str, np.ndarray]:
    """A tree that is one leaf: a split with that leaf on both sides."""
    one, zero = np.ones(1, np.int64), np.zeros(1, np.int64)
    part = dict.fromkeys(_NODE_FIELDS, zero)
    return {
        **part,
        "modes": zero.astype(np.uint8),
        "splits": zero.astype(dtype),
        "trueleafs": one,
        "falseleafs": one,
    }


def _rounded_down(threshold: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The greatest numbers of `dtype` that are not above: x <= t stays as it is for such x."""
    with np.errstate(over="ignore"):
        near = threshold.astype(dtype)
    above = near > threshold
    near[above] = np.nextafter(near[above], dtype.type(-np.inf))
    return near


class _Graph:
    """Operators in a row, each with one result that it is named by."""

    def __init__(self, onnx: Any, dtype: np.dtype) -> None:
        self.onnx, self.dtype = onnx, dtype
        self.type = onnx.helper.np_dtype_to_tensor_dtype(dtype)
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []
        self._outputs: list[Any] = []

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(
            self.onnx.helper.make_node(kind, list(inputs), [name], domain=domain, **attributes)
        )
        return name

    def proto(self, name: str, array: np.ndarray) -> Any:
        return self.onnx.numpy_helper.from_array(array, name)

    def tensor(self, array: np.ndarray) -> str:
        name = f"constant_{len(self._tensors)}"
        self._tensors.append(self.proto(name, array))
        return name

    def constant(self, array: np.ndarray) -> str:
        return self.tensor(array.astype(self.dtype))

    def give(self, name: str, result: str, kind: int, shape: Sequence[Any]) -> None:
        """Makes a result an output of the model."""
        self._nodes.append(self.onnx.helper.make_node("Identity", [result], [name]))
        self._outputs.append(self.onnx.helper.make_tensor_value_info(name, kind, shape))

    def model(self, name: str, shape: Sequence[Any]) -> Any:
        helper = self.onnx.helper
        rows = helper.make_tensor_value_info("X", self.type, shape)
        graph = helper.make_graph(self._nodes, name, [rows], self._outputs, self._tensors)
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
        return helper.make_model(
            graph,
            opset_imports=opsets,
            ir_version=helper.find_min_ir_version_for(opsets),
            producer_name="pyllm",
        )
