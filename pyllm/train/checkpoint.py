"""Checkpoints of a run: folders that are whole or absent.

    run/checkpoint-00000200/
      config.json, model.safetensors, tokenizer.json    the model, as `from_pretrained` reads it
      state.safetensors                                 optimizer state, and as JSON in its header:
                                                        step, random state, sampler position, ...

A checkpoint is written under a temporary name, synced, and renamed; only then are older ones
deleted. So a run that is killed at any moment has its last whole checkpoint, or none yet.

The state is a tree of dicts and lists whose leaves are arrays or JSON values. The safetensors file
holds the arrays under running numbers; its JSON has {"$array": number} in their place.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import safe_open, save_file

from pyllm.device_array import is_on_device
from pyllm.files import remove_leftovers

_NAME = re.compile(r"checkpoint-(\d{8})")


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write a tree of arrays and JSON values into one safetensors file."""
    arrays: dict[str, np.ndarray] = {}
    tree = _detach(state, arrays)
    save_file(arrays, path, metadata={"state": json.dumps(tree)})


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote; the arrays are writable copies.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"checkpoint: there is no {path}")
    try:
        with safe_open(path, framework="np") as file:
            tree = json.loads((file.metadata() or {})["state"])
            return _attach(tree, file)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"checkpoint: {path} is damaged ({error})") from None


def checkpoint_folder(run: Path, step: int) -> Path:
    return run / f"checkpoint-{step:08d}"


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    if not run.is_dir():
        return []
    return sorted(path for path in run.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def prune(run: Path, keep: int) -> None:
    """Delete all but the newest checkpoints, and what killed writers left."""
    for old in checkpoints(run)[:-keep]:
        # First under another name: a folder that is half deleted must not look whole.
        aside = old.with_name(f".{old.name}.old")
        shutil.rmtree(aside, ignore_errors=True)
        old.rename(aside)
        shutil.rmtree(aside)
    remove_leftovers(run)


def find_model(path: Path) -> Path:
    """The folder with a config.json: `path` itself, or the newest checkpoint of the run `path`.

    Raises:
        FileNotFoundError: neither holds a model.
    """
    if (path / "config.json").is_file():
        return path
    if found := checkpoints(path):
        return found[-1]
    raise FileNotFoundError(f"model: {path} is neither a checkpoint nor a run with one")


def _detach(node: Any, arrays: dict[str, np.ndarray]) -> Any:
    if is_on_device(node):
        node = node.numpy()
    if isinstance(node, np.ndarray):
        arrays[str(len(arrays))] = np.ascontiguousarray(node)
        return {"$array": len(arrays) - 1}
    if isinstance(node, dict):
        if any(not isinstance(key, str) for key in node):
            return {"$items": [[key, _detach(value, arrays)] for key, value in node.items()]}
        return {key: _detach(value, arrays) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_detach(value, arrays) for value in node]
    if isinstance(node, np.generic):
        return node.item()
    return node


def _attach(node: Any, file: Any) -> Any:
    if isinstance(node, dict):
        if set(node) == {"$array"}:
            return np.array(file.get_tensor(str(node["$array"])))
        if set(node) == {"$items"}:
            return {key: _attach(value, file) for key, value in node["$items"]}
        return {key: _attach(value, file) for key, value in node.items()}
    if isinstance(node, list):
        return [_attach(value, file) for value in node]
    return node
