"""Forests in files: JSON to read and edit, safetensors to be small and quick.

docs/tree_model.md describes both. What is read is checked as a new `Forest` is; a file that is
damaged, cut off, or made to mislead gives a ValueError.
"""

import json
import struct
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.numpy

from pyllm.files import write_atomically, write_text
from pyllm.trees.tree import NODE_DTYPES

if TYPE_CHECKING:
    from pyllm.trees.forest import Forest

FORMAT = "pyllm-forest"
VERSION = 1
_BINARY_SUFFIX = ".safetensors"
_ONNX_SUFFIX = ".onnx"
_ARRAYS: dict[str, type[np.generic]] = {
    "base_score": np.float64,
    "tree_offset": np.int64,
    "tree_output": np.int32,
    **NODE_DTYPES,
}
_MAX_HEADER = 100 << 20  # what safetensors itself accepts


def save_forest(forest: "Forest", path: str | Path) -> None:
    """Write JSON, or safetensors or ONNX where `path` ends so; the file is whole or as it was."""
    path = Path(path)
    if path.suffix == _ONNX_SUFFIX:
        content = forest.to_onnx().SerializeToString()
        write_atomically(path, lambda to: to.write_bytes(content))
        return
    head = _head(forest)
    try:
        json.dumps(head, allow_nan=False)
    except (TypeError, RecursionError, ValueError) as error:
        raise ValueError(f"metadata: expected what JSON can hold ({error})") from None
    if path.suffix == _BINARY_SUFFIX:
        arrays = {name: np.array(getattr(forest, name)) for name in _ARRAYS}
        text = {key: json.dumps(value, allow_nan=False) for key, value in head.items()}
        write_atomically(path, lambda to: safetensors.numpy.save_file(arrays, to, text))
    else:
        arrays_as_lists = {name: _numbers(getattr(forest, name)) for name in _ARRAYS}
        write_text(path, json.dumps({**head, **arrays_as_lists}, allow_nan=False) + "\n")


def load_forest(path: str | Path) -> "Forest":
    """Read what `save_forest` wrote."""
    if Path(path).suffix == _ONNX_SUFFIX:
        raise ValueError(f"{path}: ONNX models cannot be loaded; save as .json or .safetensors too")
    content = Path(path).read_bytes()
    try:
        if content[:1] == b"{":
            head, arrays = _read_json(content)
        else:
            head, arrays = _read_binary(content)
        return _forest(head, arrays)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _head(forest: "Forest") -> dict[str, Any]:
    names = (f.name for f in fields(forest) if f.init and f.name not in _ARRAYS)
    return {"format": FORMAT, "version": VERSION, **{n: getattr(forest, n) for n in names}}


def _numbers(array: np.ndarray) -> list[Any]:
    """Lists of numbers, which JSON spells exactly; infinite thresholds as strings."""
    if array.dtype.kind != "f" or np.all(np.isfinite(array)):
        return array.tolist()
    return [x if np.isfinite(x) else str(x) for x in array.tolist()]


def _read_json(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        head = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply for a model file") from None
    _check_format(head)
    arrays = {}
    for name, dtype in _ARRAYS.items():
        given = head.pop(name, None)
        if not isinstance(given, list):
            raise ValueError(f"{name}: expected a list of numbers")
        arrays[name] = _array(given, dtype, name)
    return head, arrays


def _array(given: list[Any], dtype: type[np.generic], name: str) -> np.ndarray:
    allowed = (bool,) if dtype is np.bool_ else (int, float)
    if name == "value":
        width = len(given[0]) if given and isinstance(given[0], list) else 1
        rows = all(isinstance(row, list) and len(row) == width for row in given)
        numbers = [x for row in given for x in row] if rows else [None]
    else:
        numbers = given
    if name == "threshold":
        numbers = [float(x) if x in ("inf", "-inf") else x for x in numbers]
    if not all(type(x) in allowed for x in numbers):
        raise ValueError(f"{name}: expected only numbers of type {np.dtype(dtype)}")
    try:
        array = np.array(numbers, dtype if np.dtype(dtype).kind == "f" else None)
    except (OverflowError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None
    return array.reshape(len(given), width) if name == "value" else array


def _read_binary(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        arrays = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not a model file ({error})") from None
    size = struct.unpack("<Q", content[:8])[0]
    text = json.loads(content[8 : 8 + min(size, _MAX_HEADER)]).get("__metadata__", {})
    head = {}
    for key, value in text.items():
        try:
            head[key] = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError(f"{key}: not a JSON value") from None
    _check_format(head)
    for name, dtype in _ARRAYS.items():
        if name not in arrays or arrays[name].dtype != dtype:
            raise ValueError(f"{name}: expected an array of {np.dtype(dtype)}")
    if len(arrays) > len(_ARRAYS):
        raise ValueError(f"unknown arrays: {sorted(set(arrays) - set(_ARRAYS))}")
    return head, arrays


def _check_format(head: Any) -> None:
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError(f"not a model file, there is no format {FORMAT!r}")
    version = head.get("version")
    if version != VERSION or isinstance(version, bool):
        raise ValueError(f"version: this pyllm reads {VERSION}, got {version!r}")


_TYPES = {
    "n_features": (int,),
    "n_outputs": (int,),
    "average": (bool,),
    "float32_input": (bool,),
    "feature_names": (list, type(None)),
    "metadata": (dict,),
}


def _forest(head: dict[str, Any], arrays: dict[str, np.ndarray]) -> "Forest":
    from pyllm.trees.forest import Forest

    head = {key: value for key, value in head.items() if key not in ("format", "version")}
    if head.keys() != _TYPES.keys():
        raise ValueError(f"expected the fields {sorted(_TYPES)}, got {sorted(head)}")
    for name, types in _TYPES.items():
        if type(head[name]) not in types:
            raise ValueError(f"{name}: expected {types[0].__name__}, got {head[name]!r:.60}")
    given: dict[str, Any] = {**head, **arrays}
    return Forest(**given)
