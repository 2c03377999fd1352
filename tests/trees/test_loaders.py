"""The loaders on models written by hand, and on content that is damaged or hostile."""

import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyllm.trees import load_lightgbm, load_xgboost
from pyllm.trees.ubjson import read_ubjson


def xgboost_model():
    """One split at 0.5 and one on categories 1 and 33, as XGBoost 3 writes it."""
    tree = {
        "base_weights": [0.0] * 5,
        "categories": [1, 33],
        "categories_nodes": [1],
        "categories_segments": [0],
        "categories_sizes": [2],
        "default_left": [1, 0, 0, 0, 0],
        "id": 0,
        "left_children": [1, 3, -1, -1, -1],
        "loss_changes": [2.0, 1.0, 0.0, 0.0, 0.0],
        "parents": [2147483647, 0, 0, 1, 1],
        "right_children": [2, 4, -1, -1, -1],
        "split_conditions": [0.5, 0.0, 1.0, 2.0, 4.0],
        "split_indices": [0, 1, 0, 0, 0],
        "split_type": [0, 1, 0, 0, 0],
        "sum_hessian": [8.0, 4.0, 4.0, 1.0, 3.0],
        "tree_param": {"num_nodes": "5", "size_leaf_vector": "1"},
    }
    return {
        "version": [3, 0, 0],
        "learner": {
            "attributes": {},
            "feature_names": ["x", "c"],
            "gradient_booster": {"name": "gbtree", "model": {"trees": [tree], "tree_info": [0]}},
            "learner_model_param": {
                "base_score": "[5E-1]",
                "num_class": "0",
                "num_feature": "2",
                "num_target": "1",
            },
            "objective": {"name": "reg:squarederror"},
        },
    }


LIGHTGBM = """tree
version=v4
num_class=1
num_tree_per_iteration=1
max_feature_idx=1
objective=regression
feature_names=x c
tree_sizes=400

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
split_gain=2 1
threshold=0.5 0
decision_type=10 1
left_child=1 -1
right_child=-3 -2
leaf_value=2 4 1
leaf_weight=1 3 4
leaf_count=1 3 4
internal_value=0 0
internal_weight=8 4
internal_count=8 4
cat_boundaries=0 2
cat_threshold=2 2
is_linear=0
shrinkage=1


end of trees
"""


def test_xgboost_by_hand():
    forest = load_xgboost(json.dumps(xgboost_model()).encode())
    X = np.array([[0.4, 0], [0.4, 1], [0.4, 33], [0.5, 1], [np.nan, 1], [0, np.nan], [0, -1]])
    np.testing.assert_array_equal(forest.predict(X)[:, 0], [2.5, 4.5, 4.5, 1.5, 4.5, 4.5, 2.5])
    assert forest.value[0, 0] == 0.5 * (0.25 * 2 + 0.75 * 4) + 0.5 * 1
    assert forest.metadata["source"] == "xgboost 3.0.0"


def test_lightgbm_by_hand(tmp_path):
    forest = load_lightgbm(LIGHTGBM)
    X = np.array([[0.5, 0], [0.5, 1], [0.5, 33], [0.6, 1], [np.nan, 1], [0, np.nan]])
    np.testing.assert_array_equal(forest.predict(X)[:, 0], [4, 2, 2, 1, 2, 4])
    (tmp_path / "model.txt").write_text(LIGHTGBM)
    assert load_lightgbm(tmp_path / "model.txt") == forest
    assert forest.feature_names == ["x", "c"]


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(-3, 5), max_size=6),
    st.just({}),
)


def places(value, path=()):
    """Every place in a JSON value."""
    yield path
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from places(inner, (*path, key))


@settings(max_examples=300)
@given(data=st.data())
def test_changed_xgboost_models(data):
    """A value of another kind anywhere: a forest that predicts, or a ValueError."""
    model = xgboost_model()
    *path, last = data.draw(st.sampled_from([p for p in places(model) if p]))
    inner = model
    for key in path:
        inner = inner[key]
    inner[last] = data.draw(ODD)
    try:
        forest = load_xgboost(json.dumps(model).encode())
    except ValueError:
        return
    if forest.n_features < 100:
        forest.predict(np.zeros((2, forest.n_features)))


@settings(max_examples=300)
@given(data=st.data())
def test_changed_lightgbm_models(data):
    lines = LIGHTGBM.splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    key, _, value = lines[at].partition("=")
    words = value.split()
    if words and data.draw(st.booleans()):
        words[data.draw(st.integers(0, len(words) - 1))] = str(data.draw(ODD))
        lines[at] = f"{key}={' '.join(words)}"
    else:
        lines[at] = data.draw(st.text(max_size=20))
    try:
        forest = load_lightgbm("\n".join(lines) + "\n")
    except ValueError:
        return
    if forest.n_features < 100:
        forest.predict(np.zeros((2, forest.n_features)))


def test_what_is_no_model(tmp_path):
    for content in (b"", b"{", b"[]", b"{}", b"{L", b'{"learner":1}', b"[" * 100_000, b"\xff\xfe"):
        with pytest.raises(ValueError, match=r"model|UBJSON"):
            load_xgboost(content)
    for text in ("\n", "tree\n", "tree\nend of trees\n", "{}\n"):
        with pytest.raises(ValueError, match="model"):
            load_lightgbm(text)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a LightGBM model"):
        load_lightgbm(tmp_path / "binary")
    for load in (load_xgboost, load_lightgbm):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "nothing")


def length(n):
    return b"L" + struct.pack(">q", n)


def text(value):
    return length(len(value)) + value.encode()


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"{}", {}),
        (b"{" + text("a") + b"i\xff" + text("b") + b"U\xff}", {"a": -1, "b": 255}),
        (b"{#i\x01" + text("a") + b"T", {"a": True}),
        (b"{$i#i\x02" + text("a") + b"\x01" + text("b") + b"\x02", {"a": 1, "b": 2}),
        (b"[TFZNCx]", [True, False, None, "x"]),
        (b"S" + text("name"), "name"),
        (b"[I\x01\x00l\x00\x00\x00\x05" + length(7) + b"]", [256, 5, 7]),
        (b"[#i\x02d" + struct.pack(">f", 0.5) + b"D" + struct.pack(">d", 0.1), [0.5, 0.1]),
        (b"H" + text("1.5"), 1.5),
        (b"[[]{}]NN", [[], {}]),
    ],
)
def test_ubjson(content, value):
    assert read_ubjson(content) == value


def test_ubjson_arrays_of_one_type():
    content = b"[$d#" + length(2) + struct.pack(">2f", 0.5, -1)
    np.testing.assert_array_equal(read_ubjson(content), np.float32([0.5, -1]))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"[",
        b"[i",
        b"{L",
        b"[$L#" + length(2**62),
        b"[$L#" + length(-1),
        b"[$Z#" + length(2**62),
        b"[#" + length(2**62),
        b"{#" + length(2**62),
        b"S" + length(2**62),
        b"S" + length(-5),
        b"[$",
        b"[$i",
        b"Si\x01\xff",
        b"[" * 100_000,
        b"TT",
        b"[#T",
    ],
)
def test_hostile_ubjson(content):
    with pytest.raises(ValueError, match=r"UBJSON|utf-8"):
        read_ubjson(content)


@given(st.binary(max_size=60))
def test_any_bytes(content):
    with contextlib.suppress(ValueError):
        read_ubjson(content)
