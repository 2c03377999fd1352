"""The op conformance tests on every back end: `ops` is pyllm.ops with arrays moved there and back.

A test that takes the fixture `backend` (tests/ops/conftest.py) and calls `ops` of this module runs
once per instruction set of the CPU, once on the CUDA kernels through the emulator, and with
`pytest -m on_gpu` on a real device. It keeps to NumPy arrays: each call uploads the memory under
its arguments, views and overlaps included, and what the op wrote comes back into it.
"""

import ctypes
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np

import pyllm.ops
from pyllm import cuda

_device: Any = None  # the module whose arrays calls are made on; None for the CPU


@contextmanager
def on_device(module):
    """Within the block, `ops` moves its arrays to the first device of a _cuda module."""
    global _device
    before, found = _device, cuda.extension
    _device, cuda.extension = module, lambda: module
    try:
        yield
    finally:
        _device, cuda.extension = before, found


class Regions:
    """Device copies of the memory under some NumPy arrays: overlapping arrays share a copy."""

    def __init__(self, module, arrays):
        self.module = module
        self.made: list[tuple[np.ndarray, Any]] = []
        self.spans: list[list[int]] = []
        for low, high in sorted(_span(a) for a in arrays):
            start = low - low % 8  # so that elements keep the alignment they have
            if self.spans and start < self.spans[-1][1]:
                self.spans[-1][1] = max(self.spans[-1][1], high)
            else:
                self.spans.append([start, high])
        self.copies = [
            module.to_device(np.frombuffer(ctypes.string_at(low, high - low), np.uint8))
            for low, high in self.spans
        ]

    def device_array(self, array):
        low, _ = _span(array)
        if array.size == 0:
            made = self.module.to_device(np.empty(array.shape, array.dtype))
        else:
            at = next(i for i, (begin, end) in enumerate(self.spans) if begin <= low < end)
            item = array.itemsize
            first = array.__array_interface__["data"][0] - self.spans[at][0]
            whole = self.copies[at].as_strided(
                [(self.copies[at].size - first % item) // item * item], [1], first % item
            )
            made = whole.view(array.dtype).as_strided(
                array.shape, [s // item for s in array.strides], first // item,
                array.flags.writeable,
            )  # fmt: skip
        self.made.append((array, made))
        return made

    def numpy_array(self, made):
        return next((array for array, mine in self.made if mine is made), None)

    def write_back(self):
        for (low, high), copy in zip(self.spans, self.copies, strict=True):
            inside = [a for a, _ in self.made if a.size and low <= _span(a)[0] < high]
            if any(a.flags.writeable for a in inside):
                content = copy.numpy()
                ctypes.memmove(low, content.ctypes.data, high - low)


def _span(array):
    return np.lib.array_utils.byte_bounds(array) if array.size else (0, 0)


def _map(value, change: Callable[[Any], Any], kind):
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, tuple):
        items = [_map(v, change, kind) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, dict):
        return {k: _map(v, change, kind) for k, v in value.items()}
    return value


def _arrays_in(value):
    found: list[np.ndarray] = []
    _map(value, found.append, np.ndarray)
    return [a for a in found if a.size]


class _Ops:
    def __getattr__(self, name):
        op = getattr(pyllm.ops, name)

        def call(*args, **kwargs):
            if _device is None:
                return op(*args, **kwargs)
            regions = Regions(_device, _arrays_in((args, kwargs)))
            args, kwargs = _map((args, kwargs), regions.device_array, np.ndarray)
            result = op(*args, **kwargs)
            regions.write_back()

            def to_numpy(made):
                given = regions.numpy_array(made)
                return made.numpy() if given is None else given

            return _map(result, to_numpy, _device.DeviceArray)

        setattr(self, name, call)
        return call


ops = _Ops()
