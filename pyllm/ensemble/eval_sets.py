"""How eval sets are given: pairs (X, y), and what goes with each of them."""

from collections.abc import Sequence
from typing import Any

EvalSets = Sequence[tuple[Any, Any]] | dict[str, tuple[Any, Any]] | None


def named_sets(eval_set: EvalSets) -> dict[str, tuple[Any, Any]]:
    """By name; those of a list are valid_0, valid_1, ..."""
    if eval_set is None:
        return {}
    if isinstance(eval_set, dict):
        return eval_set
    if isinstance(eval_set, tuple):
        raise TypeError("eval_set: expected a list of pairs (X, y), or a dict of them, got a tuple")
    return {f"valid_{i}": pair for i, pair in enumerate(eval_set)}


def one_each(name: str, given: Any, sets: dict[str, Any]) -> dict[str, Any]:
    """One entry of eval_sample_weight (...) for each eval set."""
    if given is None:
        return dict.fromkeys(sets)
    if isinstance(given, dict):
        return {key: given.get(key) for key in sets}
    if len(given) != len(sets):
        raise ValueError(f"{name}: expected one for each of {len(sets)} eval sets")
    return dict(zip(sets, given, strict=True))
