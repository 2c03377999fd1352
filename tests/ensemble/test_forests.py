"""Random forests, extra trees and single trees: accuracy, out-of-bag scores, draws, bits."""

import numpy as np
import pytest
from sklearn import ensemble as sk
from sklearn import tree as sk_tree
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from pyllm import _cpu
from pyllm.ensemble import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from pyllm.ensemble.resampling import Bootstrap, content_order

CLASSIFIERS = [RandomForestClassifier, ExtraTreesClassifier]
REGRESSORS = [RandomForestRegressor, ExtraTreesRegressor]


def split(load):
    return train_test_split(*load(return_X_y=True), random_state=0)


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_iris])
def test_classes_are_told_apart_as_well_as_by_scikit_learn(kind, load):
    X, X_test, y, y_test = split(load)
    ours = kind(n_estimators=60, random_state=0).fit(X, y)
    theirs = getattr(sk, kind.__name__)(60, random_state=0).fit(X, y)
    assert ours.score(X_test, y_test) >= theirs.score(X_test, y_test) - 0.03
    p, q = ours.predict_proba(X_test), theirs.predict_proba(X_test)
    assert log_loss(y_test, p) <= log_loss(y_test, q) + 0.06


@pytest.mark.parametrize("kind", REGRESSORS)
def test_targets_are_met_as_well_as_by_scikit_learn(kind):
    X, X_test, y, y_test = split(load_diabetes)
    ours = kind(n_estimators=60, random_state=0).fit(X, y)
    theirs = getattr(sk, kind.__name__)(60, random_state=0).fit(X, y)
    assert ours.score(X_test, y_test) >= theirs.score(X_test, y_test) - 0.04


def test_a_tree_is_scikit_learns_where_cuts_are_the_same():
    """Few distinct values: every cut is between bins, so both trees reach the same partition."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 20, (500, 4)).astype(float)
    y = X[:, 0] * X[:, 1] + rng.normal(size=500)
    ours = DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, y)
    theirs = sk_tree.DecisionTreeRegressor(max_depth=4, random_state=0).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-10)
    assert ours.get_depth() == theirs.get_depth() == 4
    assert ours.get_n_leaves() == theirs.get_n_leaves()
    classes = DecisionTreeClassifier(max_depth=3).fit(X, y > 90)
    peer = sk_tree.DecisionTreeClassifier(max_depth=3).fit(X, y > 90)
    np.testing.assert_allclose(classes.predict_proba(X), peer.predict_proba(X), rtol=1e-10)


def test_a_full_tree_knows_its_rows():
    X, y = load_diabetes(return_X_y=True)
    np.testing.assert_allclose(DecisionTreeRegressor().fit(X, y + 1e6).predict(X), y + 1e6)
    X, y = load_iris(return_X_y=True)
    assert DecisionTreeClassifier().fit(X, y).score(X, y) >= 0.99


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_a_node_of_one_class_is_a_leaf(classes, bootstrap):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(3000, 5))
    y = np.digitize(X[:, 0] + rng.normal(size=3000), [0.0, 1.0][: classes - 1])
    model = RandomForestClassifier(n_estimators=3, bootstrap=bootstrap, random_state=0).fit(X, y)
    inner = model.forest_.value[model.forest_.feature >= 0]
    assert len(inner) > 1000
    assert (inner.max(axis=1) < 1.0).all()
    assert (inner.max(axis=1) > 0.0).all()


def test_several_targets_share_a_tree():
    X, y = load_diabetes(return_X_y=True)
    Y = np.column_stack([y, -y, X[:, 0]])
    for model in (DecisionTreeRegressor(max_depth=5), RandomForestRegressor(n_estimators=10)):
        predicted = model.fit(X, Y).predict(X)
        assert predicted.shape == Y.shape
        np.testing.assert_allclose(predicted[:, 0], -predicted[:, 1], rtol=1e-9)


def test_out_of_bag_scores_are_those_of_new_rows():
    X, y = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(n_estimators=80, oob_score=True, random_state=0).fit(X, y)
    assert 0.93 < model.oob_score_ < 0.99 < model.score(X, y)
    assert model.oob_decision_function_.shape == (569, 2)
    X, X_test, y, y_test = split(load_diabetes)
    model = RandomForestRegressor(n_estimators=80, oob_score=True, random_state=0).fit(X, y)
    assert model.oob_prediction_.shape == y.shape
    assert abs(model.oob_score_ - model.score(X_test, y_test)) < 0.25 < model.score(X, y)


def test_out_of_bag_rows_are_those_not_drawn():
    """Recomputed from the draws: the mean over the trees that did not see the row."""
    X, y = load_diabetes(return_X_y=True)
    model = RandomForestRegressor(n_estimators=5, oob_score=True, random_state=0).fit(X, y)
    from pyllm.ensemble.averaging import _tree_seed

    draws = Bootstrap(X, y[:, np.newaxis], None, None)
    sums, votes = np.zeros(len(y)), np.zeros(len(y))
    leaves = model.apply(X)
    for t, tree in enumerate(model.forest_.trees()):
        out = draws.draw(_tree_seed(model._seed, t)) == 0
        sums[out] += tree.value[leaves[out, t], 0]
        votes[out] += 1
    expected = np.divide(sums, votes, out=np.full(len(y), np.nan), where=votes > 0)
    np.testing.assert_allclose(model.oob_prediction_, expected)
    assert np.isnan(model.oob_prediction_).any()


@pytest.mark.parametrize("kind", [*CLASSIFIERS, *REGRESSORS])
def test_models_are_the_same_bits_everywhere(kind, threads):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 6))
    y = np.digitize(X[:, 0] + X[:, 1] ** 2, [0.0, 1.0])
    before, first = _cpu.isa(), None
    for isa in _cpu.available_isas():
        _cpu.set_isa(isa)
        for count in (1, 2, 4):
            threads(count)
            model = kind(n_estimators=4, random_state=3, bootstrap=True).fit(X, y)
            first = first or model.forest_
            assert model.forest_ == first
    _cpu.set_isa(before)


def test_the_order_of_rows_does_not_matter():
    X, y = load_wine(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    one = RandomForestClassifier(n_estimators=5, random_state=0).fit(X, y)
    other = RandomForestClassifier(n_estimators=5, random_state=0).fit(X[order], y[order])
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X))


def test_a_bootstrap_draws_as_often_as_weights_say():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), np.zeros(200)
    weight = rng.integers(1, 5, 200).astype(float)
    draws = Bootstrap(X, y, weight, None)
    counts = sum(draws.draw(seed) for seed in range(200)) / 200
    assert draws.size == weight.sum()
    assert np.abs(counts - weight).max() < 6 * np.sqrt(4 / 200)
    scaled = Bootstrap(X, y, weight / 10, None)
    assert scaled.size == 200
    counts = sum(scaled.draw(seed) for seed in range(200)) / 200
    assert np.abs(counts - 200 * weight / weight.sum()).max() < 6 * np.sqrt(2 / 200)
    assert Bootstrap(X, y, None, 50).draw(0).sum() == 50
    assert Bootstrap(X, y, None, 0.25).draw(0).sum() == 50


def test_content_order_is_the_rows_own():
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4)) * (rng.random((100, 4)) < 0.5)
    y = rng.normal(size=100)
    order = content_order(X, y)
    shuffle = rng.permutation(100)
    np.testing.assert_array_equal(X[order], X[shuffle][content_order(X[shuffle], y[shuffle])])
    np.testing.assert_array_equal(order, content_order(csr_matrix(X), y))


def test_warm_start_grows_the_forest():
    X, y = load_iris(return_X_y=True)
    whole = RandomForestClassifier(n_estimators=8, random_state=0).fit(X, y)
    parts = RandomForestClassifier(n_estimators=3, random_state=0, warm_start=True).fit(X, y)
    parts.set_params(n_estimators=8).fit(X, y)
    assert parts.forest_ == whole.forest_
    with pytest.raises(ValueError, match="n_estimators"):
        parts.set_params(n_estimators=2).fit(X, y)


@pytest.mark.parametrize("max_features", ["sqrt", "log2", None, 3, 0.4, "auto"])
def test_features_to_draw(max_features):
    X, y = load_wine(return_X_y=True)
    model = RandomForestClassifier(n_estimators=20, max_features=max_features, random_state=0)
    assert model.fit(X, y).score(X, y) > 0.97


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_estimators": 0}, "n_estimators"),
        ({"max_features": "all"}, "max_features"),
        ({"max_features": 0}, "max_features"),
        ({"max_samples": 0}, "max_samples"),
        ({"max_samples": 1.5}, "max_samples"),
        ({"bootstrap": False, "oob_score": True}, "oob_score"),
        ({"bootstrap": False, "max_samples": 5}, "max_samples"),
        ({"min_weight_fraction_leaf": 0.9}, "min_weight_fraction_leaf"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        RandomForestClassifier(**options).fit(X, y)


@pytest.mark.parametrize("oob_score", [False, True])
def test_progress_is_a_line_a_tenth_off_the_terminal(oob_score, capsys, threads):
    threads(1)
    X, y = load_iris(return_X_y=True)
    for kind in CLASSIFIERS:
        kind(n_estimators=30, bootstrap=True, oob_score=oob_score, verbose=True).fit(X, y)
        lines = capsys.readouterr().out.split("\n")
        assert lines == [*(f"tree {n}/30" for n in range(3, 31, 3)), ""]
        kind(n_estimators=3).fit(X, y)
        assert not capsys.readouterr().out


def test_one_class_is_always_predicted():
    X, _ = load_iris(return_X_y=True)
    for kind in (*CLASSIFIERS, DecisionTreeClassifier):
        model = kind().fit(X, ["only"] * len(X))
        assert set(model.predict(X)) == {"only"}
        assert (model.predict_proba(X) == 1).all()


def test_class_weights_shift_the_classes():
    X, y = load_breast_cancer(return_X_y=True)
    plain = DecisionTreeClassifier(max_depth=2).fit(X, y)
    heavy = DecisionTreeClassifier(max_depth=2, class_weight={0: 10.0, 1: 1.0}).fit(X, y)
    assert (heavy.predict(X) == 0).sum() > (plain.predict(X) == 0).sum()
    with pytest.raises(ValueError, match="class_weight"):
        DecisionTreeRegressor(class_weight="balanced").fit(X, y)


def grid_data(classes=0):
    """Few distinct values, so that cuts are between bins as scikit-learn's are."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 12, (400, 4)).astype(float)
    score = X[:, 0] * X[:, 1] + 6 * rng.normal(size=400)
    return X, np.digitize(score, [20, 45][: classes - 1]) if classes else score


def same_tree(ours, theirs, X):
    assert ours.get_n_leaves() == theirs.get_n_leaves()
    predict = "predict_proba" if hasattr(ours, "predict_proba") else "predict"
    np.testing.assert_allclose(getattr(ours, predict)(X), getattr(theirs, predict)(X), rtol=1e-9)


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"min_samples_split": 40},
        {"min_samples_split": 0.2},
        {"min_samples_leaf": 0.05},
        {"min_impurity_decrease": 0.02},
        {"ccp_alpha": 0.01},
        {"ccp_alpha": 0.004, "max_depth": 4, "class_weight": "balanced"},
    ],
)
def test_limits_of_trees_mean_what_scikit_learn_means(classes, options):
    X, y = grid_data(classes)
    options = dict(options)
    if not classes:
        options.pop("class_weight", None)
        y = y / np.std(y)
    kind = "DecisionTreeClassifier" if classes else "DecisionTreeRegressor"
    limits = {"max_depth": 5, **options}
    ours = globals()[kind](**limits).fit(X, y)
    same_tree(ours, getattr(sk_tree, kind)(random_state=0, **limits).fit(X, y), X)
    assert ours.get_n_leaves() < globals()[kind](max_depth=5).fit(X, y).get_n_leaves()


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_pruning_paths_are_scikit_learns(classes):
    X, y = grid_data(classes)
    kind = "DecisionTreeClassifier" if classes else "DecisionTreeRegressor"
    ours = globals()[kind](max_depth=5).cost_complexity_pruning_path(X, y)
    theirs = getattr(sk_tree, kind)(max_depth=5, random_state=0).cost_complexity_pruning_path(X, y)

    def steps(path):
        last = np.append(np.diff(path.ccp_alphas) > 1e-9, True)  # of equal alphas
        return path.ccp_alphas[last], path.impurities[last]

    for a, b in zip(steps(ours), steps(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_several_targets_are_pruned_by_their_mean():
    X, y = grid_data()
    Y = np.column_stack([y, -2 * y]) / np.std(y)
    options = {"max_depth": 5, "ccp_alpha": 0.02, "min_impurity_decrease": 0.005}
    ours = DecisionTreeRegressor(**options).fit(X, Y)
    same_tree(ours, sk_tree.DecisionTreeRegressor(random_state=0, **options).fit(X, Y), X)


def test_forests_are_pruned_and_scored_out_of_the_bag():
    X, y = load_diabetes(return_X_y=True)
    full = RandomForestRegressor(n_estimators=30, oob_score=True, random_state=0).fit(X, y)
    thin = RandomForestRegressor(
        n_estimators=30, oob_score=True, random_state=0, ccp_alpha=60.0
    ).fit(X, y)
    assert len(thin.forest_.feature) < 0.5 * len(full.forest_.feature)
    assert thin.oob_score_ > full.oob_score_ - 0.03
    fewer = ExtraTreesClassifier(n_estimators=5, min_samples_split=50).fit(X, y > 100)
    assert fewer.forest_.count[fewer.forest_.feature >= 0].min() >= 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"criterion": "median"}, "criterion: expected 'squared_error'"),
        ({"min_samples_split": 1}, "min_samples_split: expected at least 2"),
        ({"min_samples_split": 1.5}, "min_samples_split: expected a share"),
        ({"min_samples_leaf": 0}, "min_samples_leaf: expected at least 1"),
        ({"min_impurity_decrease": -0.1}, "min_impurity_decrease"),
        ({"ccp_alpha": -0.1}, "ccp_alpha"),
    ],
)
def test_limits_out_of_range(options, message):
    X, y = grid_data()
    for kind in (DecisionTreeRegressor, RandomForestRegressor):
        with pytest.raises(ValueError, match=message):
            kind(**options).fit(X, y)


OF_KIND = {0: "poisson", 2: "entropy", 3: "log_loss"}


def likelihood_data(classes):
    """Rows enough that no two splits of a node are equally good."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 12, (3000, 4)).astype(float)
    score = X[:, 0] * X[:, 1] + 0.5 * X[:, 2] + 20 * rng.normal(size=3000)
    if classes:
        return X, np.digitize(score, [20, 45][: classes - 1])
    return X, rng.poisson(np.exp(0.02 * X[:, 0] * X[:, 1] + 0.1 * X[:, 2]))


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weighted": True},
        {"max_leaf_nodes": 9},
        {"min_samples_leaf": 15},
        {"min_impurity_decrease": 0.02},
        {"ccp_alpha": 0.01},
        {"monotone": True},
    ],
)
def test_likelihood_criteria_are_scikit_learns(classes, options):
    X, y = likelihood_data(classes)
    options = {"max_depth": 5, "criterion": OF_KIND[classes]} | options
    weight = None
    if options.pop("weighted", False):
        weight = np.random.default_rng(1).integers(1, 4, len(y)).astype(float)
    if options.pop("monotone", False):
        if classes == 3:
            return  # scikit-learn has none for several classes
        options["monotonic_cst"] = [1, 0, 0, -1]
    kind = "DecisionTreeClassifier" if classes else "DecisionTreeRegressor"
    ours = globals()[kind](**options).fit(X, y, weight)
    theirs = getattr(sk_tree, kind)(random_state=0, **options).fit(X, y, weight)
    assert ours.get_n_leaves() > 3
    same_tree(ours, theirs, X)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_likelihood_pruning_paths_are_scikit_learns(classes):
    X, y = likelihood_data(classes)
    kind = "DecisionTreeClassifier" if classes else "DecisionTreeRegressor"
    options = {"max_depth": 5, "criterion": OF_KIND[classes]}
    ours = globals()[kind](**options).cost_complexity_pruning_path(X, y)
    theirs = getattr(sk_tree, kind)(random_state=0, **options).cost_complexity_pruning_path(X, y)
    assert ours.impurities[0] == pytest.approx(theirs.impurities[0])
    assert ours.impurities[-1] == pytest.approx(theirs.impurities[-1])
    assert ours.ccp_alphas[-1] == pytest.approx(theirs.ccp_alphas[-1])


@pytest.mark.parametrize("criterion", ["poisson", "entropy"])
def test_likelihood_forests_are_the_same_bits_everywhere(criterion, threads):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 6))
    X[rng.random(X.shape) < 0.1] = np.nan
    y = rng.poisson(np.exp(np.nan_to_num(X[:, 0])))
    kind = RandomForestRegressor if criterion == "poisson" else ExtraTreesClassifier
    before, first = _cpu.isa(), None
    for isa in _cpu.available_isas():
        _cpu.set_isa(isa)
        for count in (1, 2, 4):
            threads(count)
            model = kind(n_estimators=3, criterion=criterion, random_state=3).fit(X, y)
            first = first or model.forest_
            assert model.forest_ == first
    _cpu.set_isa(before)


def test_likelihood_splits_of_categories_are_the_best_of_all():
    """For concave impurities the best subset is a cut in the order of the means."""
    rng = np.random.default_rng(0)
    code = rng.integers(0, 7, 500)
    for kind, criterion, y in (
        (DecisionTreeRegressor, "poisson", rng.poisson(rng.gamma(1.0, size=7)[code])),
        (DecisionTreeClassifier, "entropy", rng.random(500) < rng.random(7)[code]),
    ):
        X = code[:, np.newaxis].astype(float)
        tree = kind(max_depth=1, criterion=criterion, categorical_features=[0]).fit(X, y)
        mean = np.array([y[code == c].mean() for c in range(7)])
        rank = np.argsort(np.argsort(mean))[code][:, np.newaxis]
        ranked = getattr(sk_tree, kind.__name__)(max_depth=1, criterion=criterion).fit(rank, y)
        predict = "predict" if criterion == "poisson" else "predict_proba"
        np.testing.assert_allclose(getattr(tree, predict)(X), getattr(ranked, predict)(rank))


def test_poisson_takes_counts_only():
    X, y = grid_data()
    for bad in (y - 1000, np.zeros(len(y))):
        with pytest.raises(ValueError, match="y: expected no values below 0, and not all 0"):
            DecisionTreeRegressor(criterion="poisson").fit(X, bad)
    with pytest.raises(ValueError, match="criterion: expected 'squared_error', 'absolute_error'"):
        RandomForestRegressor(criterion="entropy").fit(X, y)
    with pytest.raises(ValueError, match="criterion: expected 'gini', 'entropy'"):
        RandomForestClassifier(criterion="poisson").fit(X, y > 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weighted": True},
        {"outputs": 2},
        {"max_leaf_nodes": 9},
        {"min_samples_leaf": 15},
        {"min_weight_fraction_leaf": 0.04},
        {"min_impurity_decrease": 0.02},
        {"ccp_alpha": 0.05},
    ],
)
def test_absolute_errors_are_scikit_learns(options):
    """Few distinct values of X, and so many of y that no two splits are equally good."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 9, (800, 4)).astype(float)
    y = X[:, 0] * X[:, 1] + X[:, 2] + rng.integers(0, 2**14, 800) / 2.0**10
    options = {"max_depth": 4, "criterion": "absolute_error"} | options
    weight = None
    if options.pop("weighted", False):
        weight = rng.integers(1, 4, 800).astype(float)
    if options.pop("outputs", 1) == 2:
        y = np.column_stack([y, rng.integers(0, 2**14, 800) / 2.0**10 - X[:, 3]])
    ours = DecisionTreeRegressor(**options).fit(X, y, weight)
    theirs = sk_tree.DecisionTreeRegressor(random_state=0, **options).fit(X, y, weight)
    assert ours.get_n_leaves() > 3
    assert ours.get_n_leaves() == theirs.get_n_leaves()
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-12)


def test_paths_of_absolute_errors_are_scikit_learns():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 9, (300, 3)).astype(float)
    y = X[:, 0] * X[:, 1] + rng.integers(0, 2**14, 300) / 2.0**10
    options = {"max_depth": 3, "criterion": "absolute_error"}
    ours = DecisionTreeRegressor(**options).cost_complexity_pruning_path(X, y)
    theirs = sk_tree.DecisionTreeRegressor(random_state=0, **options)
    theirs = theirs.cost_complexity_pruning_path(X, y)
    np.testing.assert_allclose(ours.ccp_alphas, theirs.ccp_alphas, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.impurities, theirs.impurities)


@pytest.mark.parametrize("kind", REGRESSORS)
def test_forests_of_medians_are_the_same_bits_everywhere(kind, threads):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 4))
    X[rng.random(X.shape) < 0.1] = np.nan
    y = np.nan_to_num(X[:, 0]) + rng.standard_cauchy(6000)
    before, first = _cpu.isa(), None
    for isa in _cpu.available_isas():
        _cpu.set_isa(isa)
        for count in (1, 2):
            threads(count)
            model = kind(n_estimators=2, criterion="absolute_error", random_state=3).fit(X, y)
            first = first or model.forest_
            assert model.forest_ == first
    _cpu.set_isa(before)


def test_medians_withstand_outliers():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (600, 2))
    clean = np.sign(X[:, 0]) + X[:, 1]
    y = np.where(rng.random(600) < 0.1, 1e4, clean)
    error = {
        criterion: np.abs(
            RandomForestRegressor(
                n_estimators=20, criterion=criterion, min_samples_leaf=40, random_state=0
            )
            .fit(X, y)
            .predict(X)
            - clean
        ).mean()
        for criterion in ("squared_error", "absolute_error")
    }
    assert error["absolute_error"] < 0.5
    assert error["squared_error"] > 100
    with pytest.raises(ValueError, match="monotonic_cst: expected None"):
        RandomForestRegressor(criterion="absolute_error", monotonic_cst=[1, 0]).fit(X, y)


def test_friedmans_criterion_is_an_old_name():
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(FutureWarning, match="friedman_mse"):
        old = DecisionTreeRegressor(max_depth=3, criterion="friedman_mse").fit(X, y)
    assert old.forest_ == DecisionTreeRegressor(max_depth=3).fit(X, y).forest_


@pytest.mark.parametrize("criterion", ["entropy", "poisson", "absolute_error"])
def test_criteria_see_through_bundles(criterion):
    """One-hot columns share a column of codes; the tree is that of the columns apart."""
    rng = np.random.default_rng(0)
    code = rng.integers(0, 12, 3000)
    X = np.column_stack([code[:, np.newaxis] == np.arange(12), rng.normal(size=3000)]) * 1.0
    y = rng.poisson(np.exp(rng.normal(size=12)[code] + 0.3 * X[:, -1]))
    kind = DecisionTreeClassifier if criterion == "entropy" else DecisionTreeRegressor
    trees = [
        kind(criterion=criterion, max_depth=6, enable_bundle=bundled)
        .fit(X, np.minimum(y, 3) if criterion == "entropy" else y)
        .forest_
        for bundled in (True, False)
    ]
    assert trees[0] == trees[1]
    assert trees[0].n_trees == 1
    assert len(set(trees[0].feature.tolist())) > 4
