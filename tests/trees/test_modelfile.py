"""Model files: what goes in comes out; what is damaged gives a ValueError."""

import json
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from pyllm.trees import Forest, Tree
from tests.trees.forests import random_forest, random_rows

FORMS = ["model.json", "model.safetensors"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"n_outputs": 3, "vector": True, "average": True},
        {"n_outputs": 2, "feature_names": ["a", "b", "c", "d", "é"], "float32_input": True},
        {"trees": 0},
        {"categorical": 0.0, "grid": [np.inf, -np.inf, 0.1]},
    ],
    ids=str,
)
def test_round_trip(rng, tmp_path, form, kind):
    forest = replace(random_forest(rng, **kind), metadata={"classes": ["x", 1, None, 0.5]})
    forest.save(tmp_path / form)
    loaded = Forest.load(str(tmp_path / form))
    assert loaded == forest
    X = random_rows(rng, forest)
    np.testing.assert_array_equal(loaded.predict(X), forest.predict(X))
    assert [p.name for p in tmp_path.iterdir()] == [form]


def test_extreme_numbers_survive(tmp_path):
    tree = Tree.leaf(5e-324)
    forest = Forest.concat([tree, Tree.leaf(-1.7976931348623157e308)], n_features=1, base_score=0.1)
    for form in FORMS:
        forest.save(tmp_path / form)
        assert Forest.load(tmp_path / form) == forest


def test_metadata_must_be_json(tmp_path, rng):
    forest = random_forest(rng)
    for bad in ({"a": np.zeros(2)}, {"a": float("nan")}, {"a": {1, 2}}):
        for form in FORMS:
            with pytest.raises(ValueError, match="metadata"):
                replace(forest, metadata=bad).save(tmp_path / form)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path, rng, monkeypatch):
    forest = random_forest(rng)
    for form in FORMS:
        forest.save(tmp_path / form)
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *paths: (_ for _ in ()).throw(OSError("full")))
        for form in FORMS:
            with pytest.raises(OSError, match="full"):
                forest[:1].save(tmp_path / form)
    for form in FORMS:
        assert Forest.load(tmp_path / form) == forest
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FORMS)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        Forest.load(tmp_path / "model.json")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small model in each form, as bytes."""
    folder = tmp_path_factory.mktemp("models")
    forest = random_forest(np.random.default_rng(3), trees=2, leaves=4, feature_names=list("abcde"))
    for form in FORMS:
        forest.save(folder / form)
    return {form: (folder / form).read_bytes() for form in FORMS}


def load_or_refuse(path, content):
    """Whatever the bytes: a forest that predicts, or a ValueError."""
    path.write_bytes(content)
    try:
        forest = Forest.load(path)
    except ValueError:
        return
    if forest.n_features < 1000:
        forest.predict(np.zeros((2, forest.n_features)))


@settings(max_examples=300)
@given(data=st.data(), form=st.sampled_from(FORMS))
def test_changed_bytes(tmp_path_factory, files, data, form):
    content = bytearray(files[form])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    load_or_refuse(tmp_path_factory.getbasetemp() / form, bytes(content))


@given(data=st.data(), form=st.sampled_from(FORMS))
def test_cut_files(tmp_path_factory, files, data, form):
    content = files[form][: data.draw(st.integers(0, len(files[form]) - 2))]
    path = tmp_path_factory.getbasetemp() / form
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        Forest.load(path)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.one_of(st.integers(-2, 9), st.none(), st.just([1])), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@settings(max_examples=300)
@given(data=st.data())
def test_changed_json(tmp_path_factory, files, data):
    """Values of other types and sizes in every place."""
    model = json.loads(files["model.json"])
    key = data.draw(st.sampled_from(sorted(model)))
    inside = isinstance(model[key], list) and model[key] and data.draw(st.booleans())
    if inside:
        model[key][data.draw(st.integers(0, len(model[key]) - 1))] = data.draw(ODD)
    elif data.draw(st.booleans()):
        del model[key]
    else:
        model[key] = data.draw(ODD)
    load_or_refuse(tmp_path_factory.getbasetemp() / "model.json", json.dumps(model).encode())


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("format", "other", "not a model file"),
        ("version", 2, "version: this pyllm reads 1, got 2"),
        ("version", True, "version"),
        ("n_features", 2**40, "n_features"),
        ("n_features", True, "n_features: expected int"),
        ("n_outputs", 2**40, "n_outputs"),
        ("average", 1, "average: expected bool"),
        ("feature_names", ["a"], "feature_names"),
        ("metadata", [], "metadata"),
        ("threshold", "inf", "threshold"),
        ("left", [1.5], "left"),
        ("value", [[1.0], [1.0, 2.0]], "value"),
        ("extra", 1, "expected the fields"),
    ],
)
def test_errors_name_the_field(tmp_path, files, key, value, problem):
    model = json.loads(files["model.json"])
    model[key] = value
    path = tmp_path / "model.json"
    path.write_text(json.dumps(model))
    with pytest.raises(ValueError, match=problem):
        Forest.load(path)


def test_hostile_files(tmp_path, files):
    path = tmp_path / "model"
    for content in (
        b"",
        b"{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff" * 100,
        (2**63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        b"null",
        b'{"format":"pyllm-forest","version":1}',
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=str(path)):
            Forest.load(path)
    arrays = safetensors.numpy.load(files["model.safetensors"])
    for change in ({"left": arrays["left"].astype(np.int64)}, {"more": np.zeros(1)}):
        path.write_bytes(safetensors.numpy.save({**arrays, **change}, {"format": '"pyllm-forest"'}))
        with pytest.raises(ValueError, match=str(path)):
            Forest.load(path)
