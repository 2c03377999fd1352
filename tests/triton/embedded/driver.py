"""The fake CUDA driver: what was launched, and the same launch through Triton's interpreter.

Arrays of the emulated runtime lie in host memory, so an address among the arguments of a launch is
one that the interpreter can read and write.
"""

import ctypes
import json
import os
import struct
from dataclasses import dataclass
from functools import cache

import torch

from pyllm.kernels.triton.embedded import embedded
from tests.cuda.emulator.build import BUILD, build_driver, build_triton_table
from tests.cuda.emulator.module import emulated_module
from tests.triton.ahead_of_time.cubins import parameters

FORMATS = {
    "pointer": "<Q", "int32": "<i", "int64": "<q", "uint32": "<I", "uint64": "<Q", "float32": "<f",
}  # fmt: skip
TYPES = {
    "fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "i32": torch.int32,
    "i64": torch.int64, "u8": torch.uint8, "i16": torch.int16, "i1": torch.bool,
}  # fmt: skip
RAISED = 719  # what a launch gives whose callback raised


@cache
def module():
    """The emulated pyllm._cuda with the table of a build with PYLLM_TRITON_AOT, and our driver."""
    os.environ["PYLLM_EMULATED_TRITON"] = str(build_triton_table())
    os.environ["PYLLM_CUDA_DRIVER"] = str(build_driver())
    return emulated_module()


@cache
def table():
    """(entry of embedded.json, its specialisation, {capability: (image, machine code)})."""
    module()
    blob = (BUILD / "triton" / "embedded.bin").read_bytes()
    entries = json.loads((BUILD / "triton" / "embedded.json").read_text())
    code = [
        {i["capability"]: (i, blob[i["offset"] : i["offset"] + i["bytes"]]) for i in e["images"]}
        for e in entries
    ]
    return list(zip(entries, embedded(), code, strict=True))


@dataclass(frozen=True)
class Launched:
    number: int  # in the table
    function: str
    capability: int
    grid: tuple
    block: tuple
    shared: int
    stream: int
    values: dict
    scratch: tuple


class _Geometry(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(_Geometry), ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_void_p),
)  # fmt: skip


class Driver:
    """Controls of the fake driver. Launches run through the interpreter if `interpret` is set."""

    def __init__(self):
        module()
        self.library = ctypes.CDLL(str(build_driver()))
        self.library.emu_driver_log.restype = ctypes.c_char_p
        self.library.emu_driver_modules.restype = ctypes.c_size_t
        self.library.emu_driver_fail.argtypes = [ctypes.c_char_p, ctypes.c_int]
        self._callback = _CALLBACK(self._on_launch)
        self.library.emu_driver_on_launch(self._callback)
        self.reset()

    def reset(self):
        self.launched, self.raised, self.interpret = [], [], False
        self.set_device(9, 0)
        self.fail("", 0)
        self.log()

    def set_device(self, major, minor, shared=232448):
        self.library.emu_driver_set_device(major, minor, shared)

    def fail(self, function, status):
        """Have calls of this name fail from now on."""
        self.library.emu_driver_fail(function.encode(), status)

    def next_context(self):
        """From now on another context is current, in which nothing is loaded yet."""
        self.library.emu_driver_next_context()

    def log(self):
        return self.library.emu_driver_log().decode().splitlines()

    @property
    def modules(self):
        return self.library.emu_driver_modules()

    def _on_launch(self, image, function, geometry, stream, packed):
        try:
            launched = _read(image, function.decode(), geometry.contents, stream, packed)
            self.launched.append(launched)
            if self.interpret:
                _interpret(launched)
        except Exception as error:
            self.raised.append(error)
            return RAISED
        return 0


def _read(image, function, geometry, stream, packed):
    """A launch as the driver sees it: how large each argument is stands in the machine code."""
    for number, (entry, _, images) in enumerate(table()):
        for capability, (_, code) in images.items():
            if entry["function"] != function or ctypes.string_at(image, len(code)) != code:
                continue
            raw = [
                ctypes.string_at(packed[i], size)
                for i, (_, size) in enumerate(parameters(code, function))
            ]
            passed = [p for p in entry["parameters"] if p["kind"] in FORMATS]
            values = {
                p["name"]: struct.unpack(FORMATS[p["kind"]], bytes_)[0]
                for p, bytes_ in zip(passed, raw[:-2], strict=True)
            }
            scratch = tuple(struct.unpack("<Q", bytes_)[0] for bytes_ in raw[-2:])
            return Launched(number, function, capability, tuple(geometry.grid),
                            tuple(geometry.block), geometry.shared, stream, values,
                            scratch)  # fmt: skip
    raise LookupError(f"{function}: not an image of the table")


def _interpret(launched):
    entry, specialisation, _ = table()[launched.number]
    arguments = {}
    for p in entry["parameters"]:
        name, kind = p["name"], p["kind"]
        if kind == "pointer":
            # The first bytes stand for the array: the interpreter goes by addresses. As many of
            # each, since two arrays may lie at one address in different types.
            first = (ctypes.c_char * 8).from_address(launched.values[name])
            arguments[name] = torch.frombuffer(first, dtype=TYPES[p["text"]])
        elif kind in FORMATS:
            arguments[name] = launched.values[name]
        else:
            arguments[name] = {"absent": None, "word": p["text"], "constant": p["value"]}[kind]
    specialisation.tuned.kernel[launched.grid](**arguments)
