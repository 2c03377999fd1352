"""XGBoost's models, from the JSON or UBJSON that `Booster.save_model` and `save_raw` write.

The format is described at xgboost.readthedocs.io, "Introduction to Model IO". A row goes left
where x < split_condition, in float32, which is x <= the float32 before it; the categories of a
split are those that go right, so its children change places here.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from pyllm.trees.forest import Forest
from pyllm.trees.renumber import arrange, breadth_first, category_words, means_inside
from pyllm.trees.tree import Tree
from pyllm.trees.ubjson import read_ubjson
from pyllm.trees.validate import MAX_OUTPUTS

# Objectives whose base_score is not in the margin's space, and how it gets there.
_LOGIT = ("binary:logistic", "reg:logistic")
_LOG = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")


def load_xgboost(source: str | Path | bytes | bytearray) -> Forest:
    """An XGBoost tree model (boosters gbtree and dart, any objective) as a forest.

    Categories are the codes that XGBoost stores; sparse rows want `absent=nan` in `predict`.

    Args:
        source: a .json or .ubj file, or its content (`booster.save_raw()`).

    Returns:
        A forest with the margins that `Booster.predict(output_margin=True)` gives; objective,
        attributes and the library's version are in its `metadata`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no model of XGBoost, damaged, or linear (booster gblinear).
    """
    content = bytes(source) if isinstance(source, (bytes, bytearray)) else Path(source).read_bytes()
    try:
        return _forest(_parse(content))
    except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(f"model: not an XGBoost model ({type(error).__name__}: {error})") from None


def _parse(content: bytes) -> dict[str, Any]:
    # A UBJSON object goes on with a length or a count, a JSON one with a quote or white space.
    if content[:1] == b"{" and content[1:2] in b"iUIlL#$N" and len(content) > 1:
        model = read_ubjson(content)
    else:
        try:
            model = json.loads(content)
        except (UnicodeDecodeError, RecursionError, json.JSONDecodeError) as error:
            raise ValueError(f"model: neither JSON nor UBJSON ({error})") from None
    if not isinstance(model, dict) or "learner" not in model:
        raise ValueError("model: not an XGBoost model, it has no 'learner'")
    return model


def _forest(model: dict[str, Any]) -> Forest:
    learner = model["learner"]
    booster = learner["gradient_booster"]
    name = booster["name"]
    if name not in ("gbtree", "dart"):
        raise ValueError(f"model: expected booster gbtree or dart, got {name!r}")
    weights = None
    if name == "dart":
        weights = np.asarray(booster["weight_drop"], np.float64)
        booster = booster["gbtree"]
    trees, info = booster["model"]["trees"], booster["model"]["tree_info"]
    if len(info) != len(trees) or (weights is not None and len(weights) != len(trees)):
        raise ValueError(f"model: {len(trees)} trees, but tree_info or weight_drop is of another")
    param = learner["learner_model_param"]
    n_features = int(param["num_feature"])
    n_outputs = max(int(param.get("num_class", 0)), int(param.get("num_target", 1)), 1)
    if n_outputs > MAX_OUTPUTS:
        raise ValueError(f"num_class, num_target: expected at most {MAX_OUTPUTS}, got {n_outputs}")
    objective = learner["objective"]["name"]
    ours = [_tree(tree, n_features, n_outputs) for tree in trees]
    if weights is not None:
        ours = [tree.scaled(weight) for tree, weight in zip(ours, weights, strict=True)]
    vectors = n_outputs > 1 and bool(ours) and ours[0].value.shape[1] == n_outputs
    return Forest.concat(
        ours,
        n_features=n_features,
        n_outputs=n_outputs,
        base_score=_base_score(param["base_score"], objective, n_outputs),
        tree_output=np.full(len(trees), -1) if vectors else np.asarray(info, np.int64),
        feature_names=list(learner.get("feature_names") or []) or None,
        float32_input=True,
        metadata={
            "source": "xgboost " + ".".join(str(int(part)) for part in model.get("version", [])),
            "objective": objective,
            "attributes": {str(k): str(v) for k, v in learner.get("attributes", {}).items()},
        },
    )


def _base_score(text: str, objective: str, n_outputs: int) -> np.ndarray:
    """The file's base_score, a number or since version 3.1 a list, as margins."""
    values = json.loads(text)
    score = np.atleast_1d(np.asarray(values, np.float64))
    if score.ndim != 1 or len(score) not in (1, n_outputs):
        raise ValueError(f"base_score: expected 1 or {n_outputs} numbers, got {text!r}")
    with np.errstate(divide="ignore", invalid="ignore"):
        if objective in _LOGIT:
            score = -np.log(1.0 / score - 1.0)
        elif objective in _LOG:
            score = np.log(score)
    return np.broadcast_to(score, (n_outputs,)).copy()


def _tree(tree: dict[str, Any], n_features: int, n_outputs: int) -> Tree:
    left, right = (np.asarray(tree[f"{side}_children"], np.int64) for side in ("left", "right"))
    n = len(left)
    condition = np.asarray(tree["split_conditions"], np.float32)
    feature = np.asarray(tree["split_indices"], np.int64)
    default_left = np.asarray(tree["default_left"], np.int64) != 0
    kind = np.asarray(tree.get("split_type") if len(tree.get("split_type", ())) else [0] * n)
    arrays = (right, condition, feature, default_left, kind)
    gain, cover = (np.asarray(tree[k], np.float64) for k in ("loss_changes", "sum_hessian"))
    if any(len(array) != n for array in (*arrays, gain, cover)):
        raise ValueError(f"tree {tree.get('id')}: its arrays are of different lengths")
    if np.any(feature >= n_features):
        raise ValueError(f"split_indices: expected below {n_features}, got {feature.max()}")
    leaf = left < 0
    categorical = (kind == 1) & ~leaf
    offset, words, bits = _categories(tree, categorical)
    nodes = {
        "feature": feature,
        "threshold": np.nextafter(condition, np.float32(-np.inf)).astype(np.float64),
        "left": np.where(categorical, right, left),
        "right": np.where(categorical, left, right),
        "default_left": np.where(categorical, ~default_left, default_left) & ~leaf,
        "value": np.where(leaf, condition, 0)[:, None].astype(np.float64),
        "gain": np.where(leaf, 0, gain),
        "cover": cover,
        "count": np.zeros(n, np.int64),
        "category_offset": offset,
        "category_words": words,
        "category_bits": bits,
    }
    nodes["threshold"][leaf | categorical] = 0
    width = int(tree["tree_param"].get("size_leaf_vector", 1))
    if width not in (1, n_outputs):
        raise ValueError(f"size_leaf_vector: expected 1 or {n_outputs}, got {width}")
    if width > 1:
        nodes["value"] = _vectors(tree, leaf, right, width)
    made = arrange(breadth_first(nodes["left"], nodes["right"]), nodes)
    return means_inside(made, made.cover)


def _vectors(tree: dict[str, Any], leaf: np.ndarray, right: np.ndarray, width: int) -> np.ndarray:
    """Leaves of several targets: in leaf_weights by number, before version 3 in base_weights."""
    value = np.zeros((len(leaf), width))
    if len(tree.get("leaf_weights", ())):
        weights = np.asarray(tree["leaf_weights"], np.float64).reshape(-1, width)
        value[leaf] = weights[right[leaf]]
    else:
        value[leaf] = np.asarray(tree["base_weights"], np.float64).reshape(-1, width)[leaf]
    return value


def _categories(
    tree: dict[str, Any], categorical: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """category_offset, category_words and category_bits."""
    n = len(categorical)
    offset, count = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    if not categorical.any():
        return offset, count, np.zeros(0, np.uint32)
    all_categories = np.asarray(tree["categories"], np.int64)
    pieces, total = [], 0
    for node, start, size in zip(
        tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True
    ):
        if not 0 <= node < n or not 0 <= start <= start + size <= len(all_categories):
            raise ValueError(f"categories: node {node} or its categories are not there")
        if not categorical[node]:
            continue
        pieces.append(category_words(all_categories[start : start + size]))
        offset[node], count[node] = total, len(pieces[-1])
        total += len(pieces[-1])
    if np.any(count[categorical] == 0):
        raise ValueError("categories: a categorical split has none")
    return offset, count, np.concatenate(pieces)
