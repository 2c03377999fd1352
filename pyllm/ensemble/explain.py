"""What explains a fitted forest to its users: SHAP values, importances, partial dependence, plots.

All of it is read off `forest_`, whose methods have more options; permutation importance and the
picture of partial dependence are scikit-learn's.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from pyllm.ensemble.grid import grid_values
from pyllm.ensemble.learner import TreeEstimator, threads
from pyllm.trees import plot

FloatArray = NDArray[np.float64]


class ExplainedTrees(TreeEstimator):
    """Base of estimators that are one `Forest`.

    Values are on the scale of the forest's margins: log-odds, logarithms of means, scores, as the
    loss has it, for gradient boosting; means and probabilities for averaged trees. Binary classes
    have one output, that of the second class.
    """

    @property
    def expected_value(self) -> Any:
        """The mean margin of the training rows, where SHAP values start: a number, or
        (n_outputs,)."""
        check_is_fitted(self)
        mean = self.forest_.partial_dependence([], np.zeros((1, 0)))[0]
        return float(mean[0]) if len(mean) == 1 else mean

    def shap_values(self, X: Any) -> FloatArray:
        """What each feature adds to the margin of each row (TreeSHAP, see `Forest.shap`).

        Returns:
            (n_samples, n_features), or (n_samples, n_features, n_outputs): with `expected_value`
            they sum to the margin.
        """
        return _outputs_last(self._shap(X, interactions=False)[:, :, :-1])

    def shap_interaction_values(self, X: Any) -> FloatArray:
        """SHAP values split among pairs of features.

        Returns:
            (n_samples, n_features, n_features), or with another axis of n_outputs; the sum over
            one axis of features gives `shap_values`.
        """
        return _outputs_last(self._shap(X, interactions=True)[:, :, :-1, :-1])

    def _shap(self, X: Any, *, interactions: bool) -> FloatArray:
        check_is_fitted(self)
        with threads(self.n_jobs):
            return self.forest_.shap(self._read(X, fitting=False), interactions=interactions)

    @property
    def feature_importances_(self) -> FloatArray:
        """(n_features,): the gain of the splits on each feature, scaled to sum to 1."""
        gain = self.importance("total_gain")
        total = gain.sum()
        return gain / total if total > 0 else gain

    def importance(self, kind: str = "gain", X: Any = None, y: Any = None, **options: Any) -> Any:
        """(n_features,): how much the model relies on each feature.

        Args:
            kind: "split", "gain", "total_gain", "cover", "total_cover" (see `Forest.importance`),
                or "permutation": how much worse the score on rows (X, y) gets when the feature is
                shuffled, a mean over repeats.
            X, y: rows for "permutation", better not those of training.
            options: for `sklearn.inspection.permutation_importance`: n_repeats, scoring,
                random_state, sample_weight, ...

        Raises:
            ValueError: another kind; rows or options where they are not used, or none where they
                are.
        """
        check_is_fitted(self)
        if kind != "permutation":
            if X is not None or y is not None or options:
                raise ValueError(f"X: expected rows and options for permutation only, not {kind!r}")
            return self.forest_.importance(kind)
        if X is None or y is None:
            raise ValueError("X: importance('permutation') needs rows X and y")
        return permutation_importance(self, X, y, **options).importances_mean

    def partial_dependence(
        self,
        X: Any,
        features: int | str | Sequence[int | str],
        *,
        grid_resolution: int = 100,
        percentiles: tuple[float, float] = (0.05, 0.95),
        custom_values: dict[int | str, Any] | None = None,
    ) -> Bunch:
        """The mean margin over a grid of the values of some features, exactly from the trees.

        Args:
            X: rows that the grid is laid over: the values that occur, or, where these are more
                than grid_resolution, so many evenly spaced ones between two percentiles.
                Categorical features take each category.
            features: one or several, by number or name.
            custom_values: by feature, the values to take instead.

        Returns:
            grid_values: an array for each feature; average: (n_outputs, n_values, ...). As from
            `sklearn.inspection.partial_dependence`, but not an estimate from the rows of X:
            see `Forest.partial_dependence`.
        """
        check_is_fitted(self)
        known = [features] if isinstance(features, (int, str, np.integer)) else list(features)
        numbers = [self._feature_number(f) for f in known]
        matrix = self._read(X, fitting=False)
        custom = {self._feature_number(f): v for f, v in (custom_values or {}).items()}
        axes, shown = [], []
        for f in numbers:
            categories = self._encoding.categories.get(f)
            values, labels = grid_values(
                matrix, f, categories, custom.get(f), grid_resolution, percentiles
            )
            axes.append(values)
            shown.append(labels)
        points = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
        with threads(self.n_jobs):
            average = self.forest_.partial_dependence(numbers, points)
        return Bunch(
            grid_values=shown, average=average.T.reshape(-1, *(len(values) for values in axes))
        )

    def plot_partial_dependence(
        self,
        X: Any,
        features: Sequence[int | str | tuple[int | str, int | str]],
        *,
        output: int = 0,
        axes: Any = None,
        **options: Any,
    ) -> PartialDependenceDisplay:
        """Curves of partial dependence, and contours for pairs of features.

        Args:
            X, options: as in `partial_dependence`.
            features: what each picture shows: a feature, or a pair of them.
            output: the class or target.
        """
        check_is_fitted(self)
        pictures = [f if isinstance(f, tuple) else (f,) for f in features]
        numbers = [tuple(self._feature_number(f) for f in picture) for picture in pictures]
        matrix = self._read(X, fitting=False)
        return PartialDependenceDisplay(
            [self.partial_dependence(X, picture, **options) for picture in numbers],
            features=numbers,
            feature_names=self._feature_names(),
            target_idx=output,
            deciles={
                f: np.nanquantile(matrix[:, f], np.linspace(0.1, 0.9, 9))
                for f in sorted({f for picture in numbers for f in picture})
            },
            is_categorical=[
                tuple(f in self._encoding.categories for f in picture) for picture in numbers
            ],
        ).plot(ax=axes)

    def plot_importance(self, kind: str = "gain", *, top: int | None = 20, axes: Any = None) -> Any:
        """Bars of the features that matter most (`pyllm.trees.plot_importance`)."""
        check_is_fitted(self)
        return plot.plot_importance(self.forest_, kind=kind, top=top, axes=axes)

    def plot_tree(self, tree: int = 0, *, axes: Any = None) -> Any:
        """One tree of the forest (`pyllm.trees.plot_tree`)."""
        check_is_fitted(self)
        return plot.plot_tree(self.forest_, tree, axes=axes)

    def _feature_names(self) -> list[str]:
        names = self.forest_.feature_names
        return [f"f{i}" for i in range(self.n_features_in_)] if names is None else names

    def _feature_number(self, feature: int | str) -> int:
        if isinstance(feature, str):
            names = list(getattr(self, "feature_names_in_", ()))
            if feature not in names:
                raise ValueError(f"features: X has no feature {feature!r}")
            return names.index(feature)
        if not 0 <= feature < self.n_features_in_:
            raise ValueError(f"features: expected 0 to {self.n_features_in_ - 1}, got {feature}")
        return int(feature)


def _outputs_last(values: FloatArray) -> FloatArray:
    """Of (rows, outputs, ...): (rows, ...) for one output, else (rows, ..., outputs)."""
    return np.ascontiguousarray(
        values[:, 0] if values.shape[1] == 1 else np.moveaxis(values, 1, -1)
    )
