"""GPT-2 checkpoints in the layout of Hugging Face: config.json and model.safetensors.

Names are those of GPT2LMHeadModel. Its Conv1D keeps weights as (in_features, out_features), ours
are (out_features, in_features): these four are transposed on the way. Files of the hub's first
GPT-2 (no "transformer." in front, attention masks among the weights) and sharded ones are read too.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import safe_open, save_file

from pyllm import cuda
from pyllm.files import write_atomically

WEIGHTS = "model.safetensors"
DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
# Ours -> theirs, and whether the matrix is transposed.
_BLOCK = {
    "norm1": ("ln_1", False),
    "attention.qkv": ("attn.c_attn", True),
    "attention.out": ("attn.c_proj", True),
    "norm2": ("ln_2", False),
    "mlp.up": ("mlp.c_fc", True),
    "mlp.down": ("mlp.c_proj", True),
}
_OUTER = {
    "wte": "transformer.wte",
    "wpe": "transformer.wpe",
    "norm": "transformer.ln_f",
    "head": "lm_head",
}
_BUFFERS = re.compile(r"\.attn\.(bias|masked_bias)$")  # causal masks in old files


def their_name(name: str) -> tuple[str, bool]:
    """(name in GPT2LMHeadModel, whether to transpose) of one of our parameters."""
    module, _, kind = name.rpartition(".")
    if module in _OUTER:
        return f"{_OUTER[module]}.{kind}", False
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", module)
    if not match or match[2] not in _BLOCK:
        raise ValueError(f"parameter {name} has no place in a GPT-2 checkpoint")
    theirs, transposed = _BLOCK[match[2]]
    return f"transformer.h.{match[1]}.{theirs}.{kind}", transposed and kind == "weight"


def save_weights(parameters: Mapping[str, npt.NDArray], folder: Path) -> None:
    """Write model.safetensors from parameters by our names."""
    tensors = {}
    for name, array in parameters.items():
        theirs, transposed = their_name(name)
        host = cuda.move(array, "cpu")
        tensors[theirs] = np.ascontiguousarray(host.T if transposed else host)
    write_atomically(
        folder / WEIGHTS, lambda path: save_file(tensors, path, metadata={"format": "pt"})
    )


def load_weights(folder: Path, parameters: Mapping[str, npt.NDArray]) -> None:
    """Fill the given arrays (by our names) from a checkpoint, converting the dtype.

    Raises:
        FileNotFoundError: the folder has no weights.
        ValueError: a weight is missing, left over, or of another shape, or a file is damaged.
    """
    files = _files(folder)
    wanted = {}
    for name, array in parameters.items():
        theirs, transposed = their_name(name)
        wanted[theirs] = array.T if transposed else array
    tied = "lm_head.weight" not in wanted
    missing = set(wanted)
    for path in files:
        with _open(path) as file:
            for key in file.keys():  # noqa: SIM118 - not a dict
                name = key if key.startswith(("transformer.", "lm_head.")) else f"transformer.{key}"
                if _BUFFERS.search(name) or (tied and name == "lm_head.weight"):
                    continue
                if name not in wanted:
                    raise ValueError(f"{path}: the model has no place for the weight {key}")
                value = file.get_tensor(key)
                if value.shape != wanted[name].shape:
                    raise ValueError(
                        f"{path}: {key} has shape {value.shape}, the config asks for "
                        f"{wanted[name].shape}"
                    )
                wanted[name][...] = value.astype(wanted[name].dtype, copy=False)
                missing.discard(name)
    if missing:
        raise ValueError(f"{folder}: the checkpoint lacks {', '.join(sorted(missing)[:5])}")


def _files(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    index = folder / f"{WEIGHTS}.index.json"
    if not index.is_file():
        raise FileNotFoundError(f"model: there is no {folder / WEIGHTS}")
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (json.JSONDecodeError, KeyError, AttributeError) as error:
        raise ValueError(f"{index}: not an index of weights ({error!r})") from None
    if any(Path(name).name != name for name in names):
        raise ValueError(f"{index}: a weight file lies outside the folder")
    return [folder / name for name in sorted(names)]


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="np")
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error})") from None
