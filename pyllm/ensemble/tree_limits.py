"""How far trees grow, said as scikit-learn says it: limits in shares, in impurity, in words."""

from typing import Any

import numpy as np

from pyllm.trees.checks import require_number, require_whole


def not_negative(name: str, value: Any) -> float:
    """A number of 0 or more."""
    require_number(name, value)
    if not value >= 0.0:
        raise ValueError(f"{name}: expected 0 or more, got {value}")
    return float(value)


def leaf_share(name: str, value: Any) -> float:
    """A share that each of two children can have."""
    require_number(name, value)
    if not 0.0 <= value <= 0.5:
        raise ValueError(f"{name}: expected 0 to 0.5, got {value}")
    return float(value)


def row_count(name: str, value: Any, n: int, low: int) -> int:
    """A number of rows, given as it is or as a share of all (a float)."""
    if isinstance(value, (float, np.floating)):
        if not 0.0 < value <= 1.0:
            raise ValueError(f"{name}: expected a share above 0 and up to 1, got {value}")
        return max(low, int(np.ceil(value * n)))
    require_whole(name, value, low)
    return int(value)


def feature_share(max_features: Any, n_features: int) -> float:
    """max_features as the share of the features that a node draws."""
    if max_features is None:
        return 1.0
    if max_features == "sqrt":
        count = max(1, int(np.sqrt(n_features)))
    elif max_features == "log2":
        count = max(1, int(np.log2(n_features)))
    elif isinstance(max_features, (int, np.integer)) and max_features >= 1:
        count = min(int(max_features), n_features)
    elif isinstance(max_features, (float, np.floating)) and 0.0 < max_features <= 1.0:
        count = max(1, int(max_features * n_features))
    else:
        raise ValueError(
            "max_features: expected 'sqrt', 'log2', None, a number of features or a share of them, "
            f"got {max_features!r}"
        )
    return count / n_features
