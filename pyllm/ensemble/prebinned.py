"""Rows that come as bins, or as blocks to be binned one by one."""

from typing import Any

import numpy as np

from pyllm.ensemble.explain import ExplainedTrees
from pyllm.ensemble.tables import Categorical, Encoding
from pyllm.trees.dataset import Dataset
from pyllm.trees.source import are_blocks


class BinnedTrees(ExplainedTrees):
    """Base of estimators that also fit on a `Dataset`, binned once for many fits, or on blocks of
    rows, for data larger than memory: a list of arrays, or a function that returns an iterator of
    them. Categories are then whole numbers, max_bin and categories those of the Dataset."""

    max_bin: int
    enable_bundle: bool
    device: str = "cpu"

    def _read(self, X: Any, *, fitting: bool) -> Any:
        """Also a `Dataset` as it is, and blocks of rows as one."""
        dataset = read_binned(
            X, self.max_bin, self.categorical_features, self.enable_bundle, self.device
        )
        if dataset is None:
            return super()._read(X, fitting=fitting)
        if not fitting:
            raise ValueError("X: expected rows, got bins or blocks; predict block by block")
        if dataset.n_samples == 0:
            raise ValueError("X: expected at least one row")
        self.n_features_in_ = dataset.n_features
        if dataset.feature_names is not None:
            self.feature_names_in_ = np.array(dataset.feature_names, object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        self._encoding = Encoding({})
        return dataset


def read_binned(
    X: Any, max_bin: int, categorical: Categorical, enable_bundle: bool, device: str
) -> Dataset | None:
    """X if it is a Dataset; a Dataset of blocks (see there); None for tables and matrices.

    Raises:
        ValueError: blocks that do not fit together, features that are not there, or a Dataset on
            another device.
    """
    if isinstance(X, Dataset):
        if X.device.removesuffix(":0") != device.removesuffix(":0"):
            raise ValueError(f"device: expected {X.device!r}, as the Dataset, got {device!r}")
        return X
    if not are_blocks(X):
        return None
    named = [] if isinstance(categorical, str) or categorical is None else categorical
    features = np.asarray(named)
    if features.dtype == bool:
        features = np.flatnonzero(features)
    return Dataset(
        X,
        max_bin=max_bin,
        categorical=features.tolist(),
        enable_bundle=enable_bundle,
        device=device,
    )
