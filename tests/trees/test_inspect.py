"""Importances, text, columns and pictures of a forest."""

from dataclasses import replace

import numpy as np
import pytest

from pyllm.trees import Forest, Tree, plot_importance, plot_tree
from tests.trees.forests import random_forest


def known_forest():
    tree = Tree(
        feature=[1, 0, -1, -1, -1],
        threshold=[0.5, 0.0, 0, 0, 0],
        left=[1, 3, -1, -1, -1],
        right=[2, 4, -1, -1, -1],
        default_left=[True, False, False, False, False],
        value=[0.0, 0.0, 1.0, 2.0, -3.25],
        gain=[2.0, 1.0, 0, 0, 0],
        cover=[5.0, 3.0, 2.0, 1.0, 2.0],
        count=[50, 30, 20, 10, 20],
        category_offset=[-1, 0, -1, -1, -1],
        category_words=[0, 2, 0, 0, 0],
        category_bits=[0b101, 1],
    )
    return Forest.concat([tree, tree], n_features=3, feature_names=["kind", "age", "none"])


def test_importance_by_hand():
    forest = known_forest()
    expected = {
        "split": [2, 2, 0],
        "total_gain": [2, 4, 0],
        "gain": [1, 2, 0],
        "total_cover": [6, 10, 0],
        "cover": [3, 5, 0],
    }
    for kind, values in expected.items():
        np.testing.assert_array_equal(forest.importance(kind), values)
    np.testing.assert_array_equal(forest.importance(), expected["gain"])
    with pytest.raises(ValueError, match="kind: expected one of gain"):
        forest.importance("weight")
    np.testing.assert_array_equal(forest[:0].importance(), [0, 0, 0])


def test_dump_by_hand():
    assert known_forest().dump(-1) == (
        "tree 1\n"
        "  age <= 0.5, missing left (gain 2, count 50, cover 5)\n"
        "    kind in {0, 2, 32}, missing right (gain 1, count 30, cover 3)\n"
        "      leaf 2 (count 10, cover 1)\n"
        "      leaf -3.25 (count 20, cover 2)\n"
        "    leaf 1 (count 20, cover 2)\n"
    )
    assert known_forest().dump().count("leaf") == 6
    with pytest.raises(IndexError, match="tree: expected below 2, got 2"):
        known_forest().dump(2)


def test_dump_of_many_kinds(rng):
    forest = random_forest(rng, n_outputs=3, vector=True, leaves=30)
    text = forest.dump()
    assert text.count("leaf ") == 7 * 30
    assert "f0" in text
    assert "missing or 0" in text
    assert "more}" in text
    scalar = random_forest(rng, n_outputs=2, trees=2)
    assert "tree 1, output 1" in scalar.dump()


def test_a_long_path_can_be_dumped():
    n = 4001
    node = np.arange(n)
    inner = (node % 2 == 0) & (node < n - 1)
    zeros = np.zeros(n)
    tree = Tree(
        feature=np.where(inner, 0, -1), threshold=zeros, left=np.where(inner, node + 1, -1),
        right=np.where(inner, node + 2, -1), default_left=inner & False, value=zeros, gain=zeros,
        cover=zeros, count=np.zeros(n, int),
    )  # fmt: skip
    assert Forest.concat([tree], n_features=1).dump().count("leaf") == 2001


def test_columns():
    columns = known_forest().to_columns()
    assert {len(column) for column in columns.values()} == {10}
    assert columns["tree"].tolist() == [0] * 5 + [1] * 5
    assert columns["node"].tolist() == [0, 1, 2, 3, 4] * 2
    assert columns["feature"].tolist()[:3] == ["age", "kind", None]
    assert columns["categories"].tolist()[:2] == [None, [0, 2, 32]]
    np.testing.assert_array_equal(columns["threshold"][:3], [0.5, np.nan, np.nan])
    assert columns["value"].tolist()[4] == -3.25


def test_columns_of_vectors(rng):
    columns = random_forest(rng, n_outputs=3, vector=True).to_columns()
    assert [name for name in columns if name.startswith("value")] == [
        "value 0",
        "value 1",
        "value 2",
    ]


def test_plot_importance_shows_the_largest_on_top():
    axes = plot_importance(known_forest(), kind="total_gain")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["kind", "age"]
    assert [bar.get_width() for bar in axes.patches] == [2, 4]
    assert axes.get_xlabel() == "total gain"
    assert len(plot_importance(known_forest(), top=1).patches) == 1
    with pytest.raises(ValueError, match="top: expected"):
        plot_importance(known_forest(), top=0)
    assert len(plot_importance(known_forest()[:0]).patches) == 0


def test_plot_tree_shows_every_node(tmp_path):
    axes = plot_tree(known_forest(), 1)
    texts = [text.get_text() for text in axes.texts]
    assert "age <= 0.5\ncount 50" in texts
    assert "kind in {0, 2, 32}\ncount 30" in texts
    assert "-3.25\ncount 20" in texts
    assert texts.count("yes") == texts.count("no") == 2
    assert [line.get_linestyle() for line in axes.lines] == ["--", "-", "-", "--"]
    axes.figure.savefig(tmp_path / "tree.png")
    assert (tmp_path / "tree.png").stat().st_size > 5000


def test_plot_tree_into_given_axes_and_limits(rng):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert plot_tree(known_forest(), axes=axes) is axes
    assert plot_tree(Forest.concat([Tree.leaf(1.0)], n_features=1)).texts
    with pytest.raises(ValueError, match="200 leaves"):
        plot_tree(random_forest(rng, leaves=200))
    with pytest.raises(IndexError, match="tree"):
        plot_tree(known_forest(), 2)


def test_cover_where_rows_were_not_counted():
    forest = replace(known_forest(), count=np.zeros(10, int))
    assert any("cover 5" in text.get_text() for text in plot_tree(forest).texts)
