"""Trees on a CUDA device: data sets there, and the extension that serves it.

A model is the same to the bit as on the CPU: the kernels choose splits by the same integer sums,
sum leaves in the same order and differentiate losses by the same arithmetic.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyllm import _cpu, cuda
from pyllm.device_array import is_on_device, module_of
from pyllm.trees.objective import Labels
from pyllm.trees.source import RowSource
from pyllm.trees.sparse_source import SparseSource

# Bins of a feature, whose sums must fit the shared memory of a block.
MAX_BIN = 9999
_NARROW_BINS = 255
_SECTOR = 32


def kernels_of(array: Any) -> Any:
    """The extension module that serves an array of the CPU or of a device."""
    return module_of(array) if is_on_device(array) else _cpu


def kernels_on(device: str) -> Any:
    """The extension module of "cpu" or of a device."""
    return _cpu if device == "cpu" else cuda.extension()


def bin_on_device(source: Any, cuts: Sequence[np.ndarray], missing: np.ndarray, device: str) -> Any:
    """The rows of a source as `TreeBins` of a device; sets `missing` where values are.

    Blocks of rows are copied over one at a time. All codes take two bytes if some feature has more
    than 255 bins.
    """
    most = max((len(c) + 1 for c in cuts), default=0)
    if most > MAX_BIN:
        raise ValueError(f"reference: has {most} bins, expected at most {MAX_BIN} on a device")
    module = kernels_on(device)
    n, features = source.n_samples, len(cuts)
    is_wide = any(len(c) >= _NARROW_BINS for c in cuts)
    like = cuda.to_device(np.empty(0, np.uint8), _number(device))
    arrays = []
    for wide, dtype in ((False, np.uint8), (True, np.uint16)):
        columns = features if wide == is_wide else 0
        stride = _row_stride(columns * np.dtype(dtype).itemsize) // np.dtype(dtype).itemsize
        arrays.append(module.empty_like(like, (n, stride), np.dtype(dtype)))
        arrays.append(module.empty_like(like, (columns, n), np.dtype(dtype)))
    codes = module.TreeCodes(*arrays)
    order, all_wide = list(range(features)), [is_wide] * features
    limits = [c.tolist() for c in cuts]
    for first, block in source.blocks():
        rows = cuda.to_device(block, _number(device))
        missing |= np.array(module.tree_bin(rows, limits, all_wide, order, first, codes), np.bool_)
    bins = [len(c) + 1 for c in cuts]
    return module.TreeBins(codes, bins, missing.tolist(), [False] * features, all_wide, order)


def check_dataset(
    device: str,
    source: RowSource | SparseSource,
    categorical: Sequence[int | str],
    reference: Any,
    max_bin: int,
) -> None:
    """Raises: ValueError: what a data set on a device cannot be."""
    cuda.require_device(device)
    known = () if reference is None else reference.categories
    if categorical or any(categories is not None for categories in known):
        refuse("categorical", "categorical features are", device)
    if isinstance(source, SparseSource):
        refuse("X", "sparse matrices are", device, "pass X.toarray()")
    if max_bin > MAX_BIN:
        raise ValueError(f"max_bin: expected at most {MAX_BIN} with device={device!r}")


def move_labels(labels: Labels, device: str) -> Labels:
    """What derivatives are computed from, on the device."""
    weight = None if labels.weight is None else cuda.move(labels.weight, device)
    return Labels(cuda.move(labels.target, device), weight)


def refuse(name: str, what: str, device: str, instead: str = "train on the CPU") -> None:
    """Raises: ValueError: a device does not have what an argument asks for."""
    raise ValueError(f"{name}: {what} not supported with device={device!r}; {instead}")


def _number(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _row_stride(size: int) -> int:
    """Bytes from row to row: rows of up to a sector do not straddle two."""
    padded = 1 << (max(size, 1) - 1).bit_length()
    return padded if padded <= _SECTOR and padded <= 1.25 * size else max(size, 1) + size % 2
