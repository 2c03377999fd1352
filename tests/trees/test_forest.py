"""The forest as a structure: made, checked, cut, joined."""

import copy
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm.trees import Forest, Tree
from tests.trees.forests import random_forest, random_rows, random_tree

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS, st.integers(0, 5), st.sampled_from([(1, False), (3, False), (3, True)]))
def test_trees_come_back_out(seed, trees, outputs):
    rng = np.random.default_rng(seed)
    n_outputs, vector = outputs
    forest = random_forest(rng, trees=trees, n_outputs=n_outputs, vector=vector)
    assert forest.with_trees(forest.trees(), forest.tree_output) == forest
    first, rest = forest[: trees // 2], forest[trees // 2 :]
    assert len(first) + len(rest) == trees
    joined = first.append(*rest.trees(), tree_output=rest.tree_output)
    if trees > 0 and trees // 2 > 0:
        assert joined == forest


def test_single_trees_predict_what_the_forest_adds(rng):
    forest = random_forest(rng, n_outputs=2, trees=6)
    X = random_rows(rng, forest)
    one_by_one = [forest[i : i + 1].predict(X) - forest.base_score for i in range(6)]
    np.testing.assert_allclose(sum(one_by_one) + forest.base_score, forest.predict(X), atol=1e-12)
    np.testing.assert_array_equal(
        forest[2:5].predict(X), forest.predict(X, first_tree=2, n_trees=3)
    )


def test_outputs_take_turns(rng):
    trees = [Tree.leaf(float(i)) for i in range(5)]
    forest = Forest.concat(trees, n_features=1, n_outputs=2)
    np.testing.assert_array_equal(forest.tree_output, [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(forest.predict(np.zeros((1, 1))), [[6.0, 4.0]])
    np.testing.assert_array_equal(forest[:3].append(*trees[3:]).tree_output, forest.tree_output)


def test_average_divides_by_the_trees_of_an_output():
    trees = [Tree.leaf(v) for v in (1.0, 2.0, 3.0)]
    forest = Forest.concat(trees, n_features=1, n_outputs=2, average=True, base_score=[10.0, 20.0])
    np.testing.assert_array_equal(forest.predict(np.zeros((2, 1))), [[12.0, 22.0]] * 2)
    np.testing.assert_array_equal(forest[:0].predict(np.zeros((1, 1))), [[10.0, 20.0]])


def test_scaled(rng):
    tree = random_tree(rng)
    np.testing.assert_array_equal(tree.scaled(0.5).value, tree.value * 0.5)
    np.testing.assert_array_equal(tree.scaled(0.5).cover, tree.cover)


def test_copies_and_pickles(rng):
    forest = random_forest(rng, feature_names=list("abcde"), average=True)
    X = random_rows(rng, forest)
    expected = forest.predict(X)
    for copied in (copy.deepcopy(forest), copy.copy(forest), pickle.loads(pickle.dumps(forest))):
        assert copied == forest
        np.testing.assert_array_equal(copied.predict(X), expected)


def test_arrays_are_read_only(rng):
    given = random_tree(rng)
    forest = Forest.concat([given], n_features=5)
    with pytest.raises(ValueError, match="read-only"):
        forest.value[0] = 1
    given.value[0] = 1  # the caller's own arrays stay his


def test_equality_looks_at_everything(rng):
    forest = random_forest(rng, feature_names=list("abcde"))
    assert forest == replace(forest)
    assert forest != replace(forest, feature_names=list("abcdf"))
    assert forest != replace(forest, value=forest.value + 1)
    assert forest != "forest"


def _broken(forest, name, change):
    arrays = {f.name: getattr(forest, f.name) for f in fields(forest) if f.init}
    arrays[name] = change(np.array(arrays[name], copy=True))
    return Forest(**arrays)


def _put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


def small_forest():
    tree = Tree(
        feature=[0, 1, -1, -1, -1],
        threshold=[0.5, 0.0, 0, 0, 0],
        left=[1, 3, -1, -1, -1],
        right=[2, 4, -1, -1, -1],
        default_left=[True, False, False, False, False],
        value=[0.0, 0.0, 1.0, 2.0, 3.0],
        gain=[2.0, 1.0, 0, 0, 0],
        cover=[5.0, 3.0, 2.0, 1.0, 2.0],
        count=[5, 3, 2, 1, 2],
        category_offset=[-1, 0, -1, -1, -1],
        category_words=[0, 2, 0, 0, 0],
        category_bits=[0b101, 1],
    )
    return Forest.concat([tree, tree], n_features=2)


def test_a_small_forest_by_hand():
    forest = small_forest()
    X = np.array([[0.5, 0], [0.4, 1], [np.nan, 32.9], [0.6, 0], [0.0, np.nan], [0, -1], [0, 64]])
    np.testing.assert_array_equal(forest.leaves(X)[:, 0], [3, 4, 3, 2, 4, 4, 4])
    np.testing.assert_array_equal(forest.predict(X)[:, 0], 2 * np.array([2, 3, 2, 1, 3, 3, 3]))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("base_score", lambda a: np.zeros(2)),
        ("base_score", _put(0, np.nan)),
        ("tree_offset", lambda a: a[:-1]),
        ("tree_offset", _put(1, 0)),
        ("tree_offset", _put(1, 11)),
        ("tree_offset", _put(0, 1)),
        ("tree_offset", _put(2, 9)),
        ("tree_output", _put(0, 1)),
        ("tree_output", _put(0, -1)),
        ("feature", _put(0, 2)),
        ("feature", _put(0, -2)),
        ("left", _put(0, 0)),
        ("left", _put(1, 1)),
        ("left", _put(0, 5)),
        ("left", _put(0, 2**31 - 1)),
        ("left", _put(0, -1)),
        ("right", _put(2, 4)),
        ("right", _put(0, 1)),
        ("threshold", _put(0, np.nan)),
        ("threshold", lambda a: a[:-1]),
        ("value", _put(2, np.inf)),
        ("value", lambda a: np.zeros((10, 3))),
        ("gain", _put(0, np.nan)),
        ("cover", _put(0, -1)),
        ("count", _put(0, -1)),
        ("category_offset", _put(1, 3)),
        ("category_offset", _put(1, 2**63 - 1)),
        ("category_offset", _put(1, -2)),
        ("category_offset", _put(2, 0)),
        ("category_words", _put(1, 0)),
        ("category_words", _put(1, 5)),
        ("category_words", _put(0, 1)),
        ("category_words", _put(1, -1)),
        ("feature", lambda a: a.astype(np.float64)),
        ("feature", lambda a: a.astype(np.int64) + 2**40),
        ("default_left", lambda a: a.astype(np.int32) + 2),
    ],
)
def test_what_is_no_forest_is_refused(name, change):
    with pytest.raises(ValueError, match=r"^\w+: "):
        _broken(small_forest(), name, change)


def test_names_must_be_distinct_and_as_many_as_features():
    for names in (["a"], ["a", "a"], ["a", 1]):
        with pytest.raises(ValueError, match=r"^feature_names: "):
            replace(small_forest(), feature_names=names)


def test_a_cycle_beside_the_root_is_refused():
    with pytest.raises(ValueError, match=r"^left: "):
        Forest.concat(
            [
                Tree(
                    feature=[-1, 0, -1],
                    threshold=np.zeros(3),
                    left=[-1, 1, -1],
                    right=[-1, 2, -1],
                    default_left=np.zeros(3, bool),
                    value=np.zeros(3),
                    gain=np.zeros(3),
                    cover=np.zeros(3),
                    count=np.zeros(3, int),
                )
            ],
            n_features=1,
        )


@pytest.mark.parametrize(
    ("X", "problem"),
    [
        (np.zeros((3, 4)), "X: expected 2 features, got 4"),
        (np.zeros(2), "X: expected shape"),
        (np.zeros((1, 2, 1)), "X: expected shape"),
        (np.zeros((3, 2), complex), "X: expected numbers"),
        (np.array([["a", "b"]]), "X: expected numbers"),
        (np.array([[None, 1]]), "X: expected numbers"),
    ],
)
def test_wrong_rows_are_refused(X, problem):
    forest = small_forest()
    for call in (forest.predict, forest.leaves, lambda rows: next(forest.staged(rows))):
        with pytest.raises(ValueError, match=problem):
            call(X)


def test_ranges_that_are_not_there():
    forest, X = small_forest(), np.zeros((1, 2))
    for bad in (
        {"first_tree": 3},
        {"first_tree": -1},
        {"n_trees": 3},
        {"first_tree": 1, "n_trees": 2},
    ):
        with pytest.raises(ValueError, match="_tree"):
            forest.predict(X, **bad)
    with pytest.raises(ValueError, match="step"):
        next(forest.staged(X, step=0))
    with pytest.raises(IndexError, match="tree"):
        forest.tree(2)
    with pytest.raises(TypeError, match="slice"):
        forest[0]
