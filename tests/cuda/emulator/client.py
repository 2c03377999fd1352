"""Calls a launcher in an emulator process: NumPy arrays in, NumPy arrays and counters out.

The argument structs are read from the launchers' own headers, so nothing is declared twice.
"""

import ctypes
import json
import os
import re
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tests.cuda.emulator.build import KERNELS, build

ORDERS = ("forward", "reverse", "random", "greedy")
DTYPE_CODES = {
    np.dtype(np.float32): 0,
    np.dtype(np.float16): 1,
    np.dtype(ml_dtypes.bfloat16): 2,
}
_C_TYPES: dict[str, Any] = {
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "bool": ctypes.c_bool,
}
_SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=87",
    "UBSAN_OPTIONS": "print_stacktrace=1:exitcode=87",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66:report_thread_leaks=0:history_size=4",
}


class EmulatorReport(Exception):
    """What the emulator or a sanitizer said before it ended the process."""


def argument_struct(header_text: str, name: str) -> type[ctypes.Structure]:
    """The struct `name` of a launcher's header: scalars, pointers, arrays of either, structs."""
    found = re.search(rf"struct {name} \{{(.*?)\n\}};", header_text, re.DOTALL)
    if found is None:
        raise KeyError(f"no struct {name} in the header")
    fields: list[tuple[str, Any]] = []
    for statement in re.sub(r"//.*", "", found[1]).split(";"):
        words = statement.split("=")[0].strip()
        if not words:
            continue
        declared = re.fullmatch(r"(?:const )?(\w+)(\*?) (.+)", words)
        if declared is None:
            raise ValueError(f"cannot read the field {words!r} of {name}")
        if declared[2]:
            kind = ctypes.c_void_p
        else:
            kind = _C_TYPES.get(declared[1]) or argument_struct(header_text, declared[1])
        for field in declared[3].split(","):
            array = re.fullmatch(r"(\w+)\[(\d+)\]", field.strip().lstrip("*"))
            if array:
                fields.append((array[1], kind * int(array[2])))
            else:
                fields.append((field.strip().lstrip("*"), kind))
    return type(name, (ctypes.Structure,), {"_fields_": fields})


@dataclass
class Out:
    """An output buffer, filled with bytes 0xFF before the call unless `start` gives its content."""

    shape: tuple[int, ...]
    dtype: Any
    start: np.ndarray | None = None

    def content(self) -> np.ndarray:
        if self.start is not None:
            return np.ascontiguousarray(self.start, self.dtype).reshape(self.shape)
        count = int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize
        return np.full(count, 0xFF, np.uint8).view(self.dtype).reshape(self.shape)


def inout(array: np.ndarray) -> Out:
    """A buffer that the kernel reads and writes."""
    return Out(array.shape, array.dtype, array)


@dataclass
class Result:
    outputs: dict[str, np.ndarray]
    kernels: dict[str, dict[str, int]]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.outputs[name]

    def total(self, counter: str) -> int:
        return sum(k[counter] for k in self.kernels.values())


class CudaError(Exception):
    """A launcher returned an error code instead of launching."""


class Emulator:
    """One process that serves the launchers of some .cu files, in one build variant."""

    def __init__(self, variant: str, sources: list[Path] | None = None):
        self.variant = variant
        self.sources = sorted(KERNELS.glob("*.cu")) if sources is None else sources
        self.executable = build(variant, self.sources)
        headers = sorted(KERNELS.glob("*.h")) + [s.with_suffix(".h") for s in self.sources]
        self.header_text = "\n".join(h.read_text() for h in headers if h.exists())
        self.process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()
            self.process.stdout.close()
            self.errors.close()
            self.process = None

    def _start(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the process)
            self.process = subprocess.Popen(
                [self.executable],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                env={**os.environ, **_SANITIZER_OPTIONS},
            )
        return self.process

    def _exact(self, count: int) -> bytes:
        data = self._start().stdout.read(count)
        if len(data) < count:
            self._fail()
        return data

    def _fail(self) -> None:
        code = self.process.wait()
        self.errors.seek(0)
        text = self.errors.read().decode(errors="replace")
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()
        self.process = None
        raise EmulatorReport(f"exit code {code}\n{text}")

    @cache  # noqa: B019 (a handful of emulators live for the whole test run)
    def _struct(self, name: str) -> type[ctypes.Structure]:
        return argument_struct(self.header_text, name)

    def call(
        self,
        launcher: str,
        struct_name: str,
        *,
        order: str = "forward",
        order_seed: int = 0,
        counted: bool = False,
        **args: Any,
    ) -> Result:
        """Runs a launcher. An array or Out stands for a pointer field, None for a null pointer.

        A list of dicts stands for a pointer to an array of structs: (struct name, [dicts]). A dict
        stands for a struct within the struct.

        Raises:
            EmulatorReport: the emulator or a sanitizer found something.
            CudaError: the launcher returned an error code.
        """
        blocks = _Blocks(self)
        packed = blocks.pack(struct_name, args, holder=-1)
        request = [
            _text(launcher.encode()),
            _text(bytes(packed)),
            struct.pack("<QQQQ", ORDERS.index(order), order_seed, counted, len(blocks.buffers)),
        ]
        for _, writable, data in blocks.buffers:
            request += [struct.pack("<QQ", len(data), writable), data]
        request.append(struct.pack("<Q", len(blocks.pointers)))
        request += [struct.pack("<qqqq", *pointer) for pointer in blocks.pointers]
        process = self._start()
        try:
            process.stdin.write(b"".join(request))
            process.stdin.flush()
        except BrokenPipeError:
            self._fail()
        error, length = struct.unpack("<qQ", self._exact(16))
        kernels = {k.pop("kernel"): k for k in json.loads(self._exact(length))}
        outputs = {}
        for (name, writable, data), like in zip(blocks.buffers, blocks.arrays, strict=True):
            if writable:
                raw = self._exact(len(data))
                outputs[name] = np.frombuffer(raw, like.dtype).reshape(like.shape).copy()
        if error:
            raise CudaError(f"{launcher} returned error {error}")
        return Result(outputs, kernels)


class _Blocks:
    """Buffers and pointers of one request."""

    def __init__(self, emulator: Emulator):
        self.emulator = emulator
        self.buffers: list[tuple[str, int, bytes]] = []
        self.arrays: list[np.ndarray] = []
        self.pointers: list[tuple[int, int, int, int]] = []

    def _add(self, name: str, value: np.ndarray, writable: bool) -> int:
        value = np.ascontiguousarray(value)
        # An empty array still has an address.
        self.buffers.append((name, int(writable), value.tobytes()))
        self.arrays.append(value)
        return len(self.buffers) - 1

    def pack(self, struct_name: str, args: dict[str, Any], holder: int, prefix: str = "") -> Any:
        return self._pack(self.emulator._struct(struct_name), args, holder, prefix, 0)

    def _pack(
        self, kind: Any, args: dict[str, Any], holder: int, prefix: str, base: int
    ) -> ctypes.Structure:
        packed = kind()
        left = dict(args)
        for field, c_type in kind._fields_:
            if field not in left:
                raise KeyError(f"{kind.__name__}.{field} is not given")
            value = left.pop(field)
            offset = base + getattr(kind, field).offset
            if isinstance(value, dict):
                setattr(packed, field, self._pack(c_type, value, holder, prefix, offset))
                continue
            if isinstance(value, Out):
                target = self._add(prefix + field, value.content(), True)
            elif c_type is ctypes.c_void_p and isinstance(value, np.ndarray):
                target = self._add(prefix + field, value, False)
            elif isinstance(value, tuple) and isinstance(value[0], str):
                target = self._add_structs(field, *value)
            else:
                if isinstance(value, np.dtype):
                    value = DTYPE_CODES[value]
                setattr(packed, field, c_type(*value) if isinstance(value, tuple) else value)
                continue
            self.pointers.append((holder, offset, target, 0))
        if left:
            raise KeyError(f"{kind.__name__} has no {', '.join(left)}")
        return packed

    def _add_structs(self, field: str, struct_name: str, items: list[dict[str, Any]]) -> int:
        size = ctypes.sizeof(self.emulator._struct(struct_name))
        index = self._add(field, np.zeros(size * len(items), np.uint8), False)
        data = b""
        for i, item in enumerate(items):
            before = len(self.pointers)
            data += bytes(self.pack(struct_name, item, index, f"{field}[{i}]."))
            for j in range(before, len(self.pointers)):
                holder, offset, target, shift = self.pointers[j]
                if holder == index:
                    self.pointers[j] = (holder, offset + i * size, target, shift)
        self.buffers[index] = (field, 0, data)
        return index


def _text(data: bytes) -> bytes:
    return struct.pack("<Q", len(data)) + data
