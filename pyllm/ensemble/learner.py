"""What all tree estimators share: reading X and weights, seeds, threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from pyllm import _cpu
from pyllm.ensemble.tables import Encoding, library_of
from pyllm.trees.dataset import Dataset
from pyllm.trees.forest import Forest
from pyllm.trees.objective import Link
from pyllm.trees.onnx_export import to_onnx

_LARGEST_TARGET = 1e15  # gains, sums of squares, are kept in float32


@contextmanager
def threads(n_jobs: int | None) -> Iterator[None]:
    """Runs the body with so many threads: None leaves them be, -1 is all CPUs."""
    if n_jobs is None:
        yield
        return
    before = _cpu.num_threads()
    _cpu.set_num_threads(joblib.effective_n_jobs(n_jobs))
    try:
        yield
    finally:
        _cpu.set_num_threads(before)


def draw_seed(random_state: Any) -> int:
    """A seed from what scikit-learn takes for random_state; None draws a new one."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def read_weight(sample_weight: Any, X: Any) -> NDArray[np.float64] | None:
    """(n_samples,) weights, checked; None stays None."""
    if sample_weight is None:
        return None
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not weight.any():
        raise ValueError("sample_weight: expected one weight at least that is not zero")
    return np.ascontiguousarray(weight, np.float64)


def read_targets(y: Any) -> NDArray[np.float64]:
    """(n_samples,) or (n_samples, n_targets) finite numbers, checked."""
    if y is None:
        raise ValueError("y: requires y to be passed, but the target y is None")
    target = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    if target.ndim > 2:
        raise ValueError(f"y: expected one or two axes, got shape {target.shape}")
    largest = np.abs(target).max(initial=0.0)
    if largest > _LARGEST_TARGET:
        raise ValueError(f"y: expected values up to {_LARGEST_TARGET:g}, got {largest:g}")
    return target


def keep_weighted(
    weight: NDArray[np.float64] | None, X: Any, *arrays: Any
) -> tuple[NDArray[np.float64] | None, Any, list[Any]]:
    """Without the rows of weight 0, which would otherwise shift the bins of features.

    The bins of a Dataset are there: it keeps them.
    """
    if weight is None or weight.all() or isinstance(X, Dataset):
        return weight, X, list(arrays)
    keep = weight > 0
    return weight[keep], X[keep], [None if a is None else a[keep] for a in arrays]


class TreeEstimator(BaseEstimator):
    """Base: reads tables and matrices, keeps the model as `forest_`.

    X may be a NumPy array, a pandas or Polars DataFrame, an Arrow Table, or a SciPy sparse matrix
    (entries that are not stored are 0). NaN, null and masked values are missing; infinities are
    values like others. Categories that were not there when fitting are missing too.
    """

    forest_: Forest
    categorical_features: Any
    n_jobs: int | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "forest_")

    def _read(self, X: Any, *, fitting: bool) -> Any:
        """X as a float32 or float64 array, or CSR or CSC; names and categories are checked."""
        if not fitting and self._is_plain(X):
            return X
        if isinstance(X, np.ma.MaskedArray):
            X = np.ma.filled(X.astype(np.float64), np.nan)
        checks: dict[str, Any] = {
            "accept_sparse": ("csr", "csc"),
            "dtype": (np.float64, np.float32),
            "ensure_all_finite": False,
        }
        mixed = getattr(X, "dtype", None) == np.dtype(object) and not isinstance(
            self.categorical_features, (str, type(None))
        )
        if library_of(X) is not None or mixed:
            validate_data(self, X, skip_check_array=True, reset=fitting)
            if fitting:
                names = getattr(self, "feature_names_in_", None)
                self._encoding = Encoding.learn(X, self.categorical_features, names)
            return check_array(self._encoding.encode(X), estimator=self, **checks)
        matrix = validate_data(self, X, reset=fitting, **checks)
        if fitting:
            self._encoding = Encoding.learn(matrix, self.categorical_features, None)
        return self._encoding.encode(matrix)

    def _is_plain(self, X: Any) -> bool:
        """An array that needs no look at names, dtypes or categories: single rows are quick."""
        return (
            X.__class__ is np.ndarray  # no subclass: masks and matrices go the long way
            and X.ndim == 2
            and X.dtype in (np.float64, np.float32)
            and X.shape[1] == self.n_features_in_
            and len(X) > 0
            and not self._encoding.categories
            and not hasattr(self, "feature_names_in_")
        )

    def apply(self, X: Any) -> NDArray[np.int32]:
        """(n_samples, n_trees): the leaf that each row reaches, as a node of its tree."""
        check_is_fitted(self)
        with threads(self.n_jobs):
            return self.forest_.leaves(self._read(X, fitting=False))

    def to_onnx(self, *, dtype: Any = np.float64) -> Any:
        """The fitted model as an ONNX model (see `Forest.to_onnx`).

        Its input is "X", (rows, n_features) of `dtype`. Classifiers have the outputs "label" (int64
        or strings) and "probabilities", others "prediction" of shape (rows, n_outputs).

        Raises:
            ValueError: categories that are not the numbers 0, 1, ...: ONNX models take numbers; or
                a loss whose response has no name; or as `Forest.to_onnx`.
            ImportError: the package onnx is not installed (extra `onnx`).
        """
        check_is_fitted(self)
        for feature, categories in self._encoding.categories.items():
            if categories != list(range(len(categories))):
                raise ValueError(
                    f"X: feature {feature} has categories that are not 0, 1, ...; encode them "
                    "before fitting to export the model"
                )
        classes = getattr(self, "classes_", None)
        return to_onnx(self.forest_, dtype=dtype, link=self._link(), classes=classes)

    def _link(self) -> Link:
        """What makes a prediction of a margin."""
        return "identity"

    def _names(self) -> list[str] | None:
        """Of the features, where X had some and they differ."""
        names = [str(name) for name in getattr(self, "feature_names_in_", ())]
        return names if names and len(set(names)) == len(names) else None
