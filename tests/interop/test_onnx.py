"""Forests and estimators in ONNX Runtime: the same margins, labels and probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from pyllm import ensemble
from pyllm.trees import Forest, Objective, Tree
from pyllm.trees.objective import Labels
from tests.trees.forests import random_forest, random_rows

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

SEEDS = st.integers(0, 2**32 - 1)
KINDS = st.sampled_from(
    [
        {},
        {"categorical": 0.0},
        {"n_outputs": 3},
        {"n_outputs": 2, "vector": True},
        {"average": True},
        {"average": True, "n_outputs": 2, "vector": True},
        {"float32_input": True},
        {"leaves": 1},
        {"trees": 0},
        {"leaves": 60, "n_features": 2},
    ]
)


def run(model, X):
    onnx.checker.check_model(model)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X}), strict=True))


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@settings(max_examples=40, deadline=None)
@given(SEEDS, KINDS, st.sampled_from([np.float32, np.float64]))
def test_margins_are_the_same(seed, kind, dtype):
    rng = np.random.default_rng(seed)
    forest = random_forest(rng, zero_missing=0.0, **kind)
    X = random_rows(rng, forest, 40, dtype)
    whole = np.isfinite(X) & (np.abs(X) < 2**24)  # categories have to be whole numbers
    if kind.get("categorical") != 0.0:
        X[whole] = np.round(X[whole])
    result = run(forest.to_onnx(dtype=dtype), X)["margin"]
    assert result.dtype == dtype
    tolerance = 1e-12 if dtype == np.float64 else 2e-6 * max(forest.n_trees, 1)
    np.testing.assert_allclose(result, forest.predict(X), rtol=tolerance, atol=tolerance)


def test_float32_rows_go_the_same_way_at_thresholds_between_floats():
    """A threshold that rounding to nearest would lift above the next float32."""
    below = np.float32(1.1)
    above = np.nextafter(below, np.float32(2))
    threshold = float(below) + 0.9 * (float(above) - float(below))
    tree = Tree(
        feature=[0, -1, -1], threshold=[threshold, 0, 0], left=[1, -1, -1], right=[2, -1, -1],
        default_left=[True, False, False], value=[0.0, 1.0, 2.0], gain=[1.0, 0, 0],
        cover=[2.0, 1, 1], count=[2, 1, 1],
    )  # fmt: skip
    forest = Forest.concat([tree], n_features=1)
    X = np.array([[below], [above], [np.nan]], np.float32)
    expected = [[1.0], [2.0], [1.0]]
    assert forest.predict(X).tolist() == expected
    assert run(forest.to_onnx(dtype=np.float32), X)["margin"].tolist() == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "model",
    [
        ensemble.GradientBoostingClassifier(n_estimators=8),
        ensemble.GradientBoostingClassifier(n_estimators=8, loss="one_vs_all"),
        ensemble.GradientBoostingClassifier(n_estimators=8, multi_output="vector"),
        ensemble.RandomForestClassifier(n_estimators=8, random_state=0),
        ensemble.DecisionTreeClassifier(),
    ],
)
@pytest.mark.parametrize("load", [load_iris, load_breast_cancer])
def test_classifiers(model, load, dtype):
    X, y = load(return_X_y=True)
    X = X.astype(dtype)
    for target in (y, np.array(["a", "b", "c"])[y]):
        model.fit(X, target)
        given = run(model.to_onnx(dtype=dtype), X)
        np.testing.assert_allclose(
            given["probabilities"], model.predict_proba(X), rtol=1e-5, atol=1e-6
        )
        assert (given["label"] == model.predict(X)).all()


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "absolute_error", "huber"])
def test_regressors(loss):
    X, y = load_diabetes(return_X_y=True)
    model = ensemble.GradientBoostingRegressor(n_estimators=10, loss=loss).fit(X, y)
    given = run(model.to_onnx(), X)["prediction"]
    np.testing.assert_allclose(given[:, 0], model.predict(X), rtol=1e-12)
    Y = np.column_stack([y, -y])
    forest = ensemble.ExtraTreesRegressor(n_estimators=5, random_state=0).fit(X, Y)
    np.testing.assert_allclose(run(forest.to_onnx(), X)["prediction"], forest.predict(X))


def test_missing_values_and_categories():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.integers(0, 12, 400), rng.normal(size=400)]).astype(float)
    y = np.isin(X[:, 0], [1, 5, 7]) + 0.3 * X[:, 1]
    X[rng.random(X.shape) < 0.1] = np.nan
    model = ensemble.GradientBoostingRegressor(n_estimators=20, categorical_features=[0])
    model.fit(X, y)
    assert (model.forest_.category_offset >= 0).any()
    X[:3, 0] = [12, 50, -1]  # never seen
    given = run(model.to_onnx(), X)["prediction"]
    np.testing.assert_allclose(given[:, 0], model.predict(X), rtol=1e-12)
    model.fit(np.column_stack([X[:, 0] + 1, X[:, 1]]), y)
    with pytest.raises(ValueError, match="feature 0 has categories that are not 0, 1"):
        model.to_onnx()


def test_files_and_what_is_refused(tmp_path, rng):
    forest = random_forest(rng, zero_missing=0.0)
    forest.save(tmp_path / "model.onnx")
    assert onnx.load(tmp_path / "model.onnx").graph.output[0].name == "margin"
    with pytest.raises(ValueError, match="cannot be loaded"):
        Forest.load(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="dtype: expected float32 or float64"):
        forest.to_onnx(dtype=np.int32)
    with pytest.raises(ValueError, match="zero counts as missing"):
        random_forest(rng, zero_missing=1.0).to_onnx()
    with pytest.raises(ValueError, match="at least one feature"):
        Forest.concat([Tree.leaf(1.0)], n_features=0).to_onnx()


class Tripled(Objective):
    """A response that no link stands for."""

    name = "tripled"
    metric = "rmse"

    def initial_margin(self, labels: Labels):
        return np.zeros(1)

    def derivatives(self, margin, labels, gradient, hessian):
        gradient[...] = margin - labels.target
        hessian[...] = 1

    def response(self, margin):
        return 3 * margin


def test_a_response_without_a_name_is_refused():
    X, y = load_diabetes(return_X_y=True)
    model = ensemble.GradientBoostingRegressor(n_estimators=2, loss=Tripled()).fit(X, y)
    with pytest.raises(ValueError, match="tripled does not say"):
        model.to_onnx()
