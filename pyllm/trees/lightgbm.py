"""LightGBM's models, from the text that `Booster.save_model` and `model_to_string` write.

A file is blocks of key=value lines: a header, then one block a tree. Children below 0 are leaves,
~child their number. `decision_type` says in bit 0 that a split is categorical, in bit 1 that
missing values go left, in bits 2 and 3 what is missing: nothing (NaN counts as 0), zero, or NaN.
"""

from pathlib import Path

import numpy as np

from pyllm.trees.forest import Forest
from pyllm.trees.renumber import arrange, breadth_first
from pyllm.trees.tree import Tree

_MISSING_NONE, _MISSING_ZERO = 0, 1
_MAX_GAIN = float(np.finfo(np.float32).max)


def load_lightgbm(source: str | Path) -> Forest:
    """A LightGBM model (gbdt, dart, goss and rf; any objective) as a forest.

    Args:
        source: a file, or the text itself (`booster.model_to_string()`).

    Returns:
        A forest with the margins that `Booster.predict(raw_score=True)` gives; of a random forest
        (boosting=rf) their mean over the trees, from which LightGBM computes its predictions.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no model of LightGBM, damaged, or has linear leaves (linear_tree).
    """
    text = source if isinstance(source, str) and "\n" in source else None
    if text is None:
        try:
            text = Path(source).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"model: not a LightGBM model ({error})") from None
    try:
        return _forest(text)
    except KeyError as missing:
        raise ValueError(f"model: not a LightGBM model, there is no {missing}") from None
    except (IndexError, OverflowError) as error:
        raise ValueError(f"model: not a LightGBM model ({error})") from None


def _forest(text: str) -> Forest:
    text, found, _ = text.partition("end of trees")
    header, *blocks = text.split("\nTree=")
    if not found or not header.startswith("tree"):
        raise ValueError("model: not a LightGBM model, or cut off")
    fields = _fields(header)
    n_features = int(fields["max_feature_idx"]) + 1
    n_outputs = int(fields["num_tree_per_iteration"])
    names = fields.get("feature_names", "").split(" ")
    trees = [_tree(_fields(block), number) for number, block in enumerate(blocks)]
    return Forest.concat(
        trees,
        n_features=n_features,
        n_outputs=n_outputs,
        average="average_output" in header.splitlines(),
        feature_names=names if len(set(names)) == n_features else None,
        metadata={"source": "lightgbm", "objective": fields.get("objective", "")},
    )


def _fields(block: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in block.splitlines())
    return {key: value for key, equals, value in pairs if equals}


def _tree(fields: dict[str, str], number: int) -> Tree:
    if fields.get("is_linear", "0") != "0":
        raise ValueError(f"model: tree {number} has linear leaves, which are not supported")
    leaves = int(fields["num_leaves"])
    if leaves < 1:
        raise ValueError(f"num_leaves: expected at least 1, got {leaves}")
    leaf_value = _numbers(fields, "leaf_value", leaves)
    if leaves == 1:
        return Tree.leaf(leaf_value[0])
    inner = leaves - 1  # nodes 0 to inner - 1 are splits, then come the leaves

    def join(split: np.ndarray, leaf: np.ndarray | float) -> np.ndarray:
        return np.concatenate([split, np.broadcast_to(leaf, leaves)])

    def child(name: str) -> np.ndarray:
        given = _integers(fields, name, inner)
        return join(np.where(given >= 0, given, inner + ~given), -1).astype(np.int64)

    decision = _integers(fields, "decision_type", inner)
    threshold = _numbers(fields, "threshold", inner)
    categorical, missing = decision & 1 == 1, decision >> 2 & 3
    default_left = decision & 2 == 2
    # Where nothing is missing, NaN is compared as 0; at categorical splits it goes right.
    default_left = np.where(missing == _MISSING_NONE, threshold >= 0.0, default_left) & ~categorical
    offset, words, bits = _categories(fields, threshold, categorical)
    nodes = {
        "feature": join(_integers(fields, "split_feature", inner), 0),
        "threshold": join(np.where(categorical, 0, threshold), 0.0),
        "left": child("left_child"),
        "right": child("right_child"),
        "default_left": join(default_left, 0) != 0,
        "zero_is_missing": join((missing == _MISSING_ZERO) & ~categorical, 0) != 0,
        "value": join(_numbers(fields, "internal_value", inner), leaf_value)[:, None],
        "gain": join(_numbers(fields, "split_gain", inner).clip(-_MAX_GAIN, _MAX_GAIN), 0.0),
        "cover": join(
            _numbers(fields, "internal_weight", inner), _numbers(fields, "leaf_weight", leaves)
        ),
        "count": join(
            _integers(fields, "internal_count", inner), _integers(fields, "leaf_count", leaves)
        ),
        "category_offset": join(offset, -1).astype(np.int64),
        "category_words": join(words, 0).astype(np.int64),
        "category_bits": bits,
    }
    return arrange(breadth_first(nodes["left"], nodes["right"]), nodes)


def _categories(
    fields: dict[str, str], threshold: np.ndarray, categorical: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """category_offset, category_words and category_bits: a split's threshold numbers its set."""
    offset, words = np.full(len(threshold), -1, np.int64), np.zeros(len(threshold), np.int64)
    if not categorical.any():
        return offset, words, np.zeros(0, np.uint32)
    sets = int(fields["num_cat"])
    boundaries = _integers(fields, "cat_boundaries", sets + 1)
    bits = _integers(fields, "cat_threshold", int(boundaries[-1]))
    if bits.size and not (bits.min() >= 0 and bits.max() < 2**32):
        raise ValueError("cat_threshold: expected words of 32 bits")
    number = threshold[categorical].astype(np.int64)
    if np.any(number < 0) or np.any(number >= sets):
        raise ValueError(f"threshold: expected a set of categories, 0 to {sets - 1}")
    offset[categorical] = boundaries[number]
    words[categorical] = boundaries[number + 1] - boundaries[number]
    return offset, words, bits.astype(np.uint32)


def _numbers(fields: dict[str, str], name: str, count: int) -> np.ndarray:
    """A list of numbers, as float64 (exact for all that the format writes)."""
    words = fields[name].split()
    if len(words) != count:
        raise ValueError(f"{name}: expected {count} numbers, got {len(words)}")
    numbers = np.array([float(word) for word in words])
    if np.any(np.isnan(numbers)):
        raise ValueError(f"{name}: expected numbers, got NaN")
    return numbers


def _integers(fields: dict[str, str], name: str, count: int) -> np.ndarray:
    numbers = _numbers(fields, name, count)
    if np.any(np.abs(numbers) > 2**53) or np.any(numbers != np.floor(numbers)):
        raise ValueError(f"{name}: expected integers")
    return numbers.astype(np.int64)
