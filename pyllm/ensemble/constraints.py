"""Constraints on trees as users give them: by the number or by the name of a feature."""

from collections.abc import Sequence
from typing import Any


def monotone_signs(given: Any, names: Sequence[str] | None) -> list[int] | None:
    """monotonic_cst, a sign a feature or a dict of them by name, as a sign a feature.

    Raises:
        ValueError: a dict without names of features, or of features that are not there.
    """
    if given is None:
        return None
    if not isinstance(given, dict):
        return list(given)
    known = _require_names("monotonic_cst", given, names)
    return [given.get(name, 0) for name in known]


def interaction_sets(
    given: Any, n_features: int, names: Sequence[str] | None
) -> list[set[int]] | None:
    """interaction_cst as sets of feature numbers.

    "pairwise" lets any two features meet, "no_interactions" none.

    Raises:
        ValueError: another word, or features that are not there.
        TypeError: a set that is none.
    """
    if given is None:
        return None
    if isinstance(given, str):
        if given == "no_interactions":
            return [{f} for f in range(n_features)]
        if given == "pairwise":
            return [{a, b} for a in range(n_features) for b in range(a + 1, n_features)]
        raise ValueError(
            f"interaction_cst: expected sets, 'pairwise' or 'no_interactions', got {given!r}"
        )
    sets = []
    for features in given:
        if isinstance(features, (str, int)):
            raise TypeError(f"interaction_cst: expected a set of features, got {features!r}")
        words = [f for f in features if isinstance(f, str)]
        known = _require_names("interaction_cst", words, names) if words else []
        sets.append({known.index(f) if isinstance(f, str) else int(f) for f in features})
    return sets


def _require_names(argument: str, wanted: Any, names: Sequence[str] | None) -> list[str]:
    if names is None:
        raise ValueError(f"{argument}: names need X with names of features")
    unknown = set(wanted) - set(names)
    if unknown:
        raise ValueError(f"{argument}: X has no feature {sorted(unknown)[0]!r}")
    return list(names)
