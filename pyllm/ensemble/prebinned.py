"""Rows that come as bins, or as blocks to be binned one by one."""

from typing import Any

import numpy as np

from pyllm.ensemble.tables import Categorical
from pyllm.trees.dataset import Dataset
from pyllm.trees.source import are_blocks


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
