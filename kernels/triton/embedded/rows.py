"""Families that go along rows: softmax, norms, activations, dropout, rotary.

Rows of softmax and of the norms are whole up to 4096 elements, padded to one of few widths, and
tiled beyond.
"""

from itertools import product

from pyllm.kernels.triton.activation import BACKWARD as ACTIVATION_BACKWARD
from pyllm.kernels.triton.activation import FORWARD as ACTIVATION_FORWARD
from pyllm.kernels.triton.activation import GLU_BACKWARD, GLU_FORWARD
from pyllm.kernels.triton.columns import KERNEL as COLUMN_SUMS
from pyllm.kernels.triton.dropout import KERNEL as DROPOUT
from pyllm.kernels.triton.norm import BACKWARD as NORM_BACKWARD
from pyllm.kernels.triton.norm import BACKWARD_COLUMNS as NORM_BACKWARD_COLUMNS
from pyllm.kernels.triton.norm import BACKWARD_LONG as NORM_BACKWARD_LONG
from pyllm.kernels.triton.norm import FORWARD as NORM_FORWARD
from pyllm.kernels.triton.rotary import KERNEL as ROTARY
from pyllm.kernels.triton.softmax import BACKWARD as SOFTMAX_BACKWARD
from pyllm.kernels.triton.softmax import FORWARD as SOFTMAX_FORWARD
from pyllm.kernels.triton.specialisations import Specialisation

TILE = 4096


def _softmax(storage):
    forward = dict.fromkeys(("x", "y"), "storage")
    backward = dict.fromkeys(("dy", "y", "dx"), "storage")
    common = {"storage": storage, "floats": ("inverse",), "any_integer": ("M",)}
    widths = [{"WHOLE": True, "R": r, "N": n} for r, n in ((8, 256), (4, 1024), (1, TILE))]
    for tile in (*widths, {"WHOLE": False, "R": 1, "N": TILE}):
        for log in (False, True):
            yield Specialisation(
                "softmax", SOFTMAX_FORWARD, forward, options={"MASKED": False, "LOG": log, **tile},
                ones=("inner", "x_step", "y_step"),
                unused=("mask", "mask_outer", "mask_step", "mask_inner"), **common,
            )  # fmt: skip
            yield Specialisation(
                "softmax", SOFTMAX_BACKWARD, backward, options={"LOG": log, **tile},
                ones=("inner", "dy_step", "y_step", "dx_step"), **common,
            )  # fmt: skip


def _norm(storage):
    pointers = dict.fromkeys(("x", "residual", "weight", "bias", "total", "y"), "storage")
    pointers |= {"mean_out": "fp32", "rstd_out": "fp32"}
    widths = [{"WHOLE": True, "N": n} for n in (1024, TILE)]
    for tile in (*widths, {"WHOLE": False, "N": TILE}):
        for layer in (True, False):
            for residual in (True, False):
                for statistics in (True, False):
                    options = {
                        "LAYER": layer, "RESIDUAL": residual, "WEIGHT": True, "BIAS": layer,
                        "STATS": statistics, **tile,
                    }  # fmt: skip
                    unused = () if layer else ("bias",)
                    unused += () if residual else ("residual", "total")
                    unused += () if statistics else ("rstd_out",)
                    unused += () if statistics and layer else ("mean_out",)
                    yield Specialisation("norm", NORM_FORWARD, pointers, storage, options,
                                         floats=("eps",), unused=unused)  # fmt: skip


def _norm_backward(storage):
    pointers = dict.fromkeys(("dy", "x", "weight", "more", "dx"), "storage")
    pointers |= dict.fromkeys(("mean_in", "rstd_in", "dweight", "dbias"), "fp32")
    common = {"pointers": pointers, "storage": storage, "any_integer": ("M", "each")}
    for layer in (True, False):
        statistics, sums = ((), ()) if layer else (("mean_in",), ("dbias",))
        for more in (True, False):
            absent = statistics if more else (*statistics, "more")
            options = {"LAYER": layer, "WEIGHT": True, "MORE": more}
            for n in (1024, TILE):
                yield Specialisation("norm", NORM_BACKWARD, options=options | {"N": n},
                                     unused=(*absent, *sums), **common)  # fmt: skip
            yield Specialisation("norm", NORM_BACKWARD_LONG, options=options | {"N": TILE},
                                 unused=absent, **common)  # fmt: skip
        options = {"LAYER": layer, "R": 16, "N": 128}
        yield Specialisation("norm", NORM_BACKWARD_COLUMNS, options=options,
                             unused=(*statistics, *sums), **common)  # fmt: skip


def _column_sums(storage):
    pointers = {"partial": "fp32", "out": "storage"}
    yield Specialisation("columns", COLUMN_SUMS, pointers, storage, any_integer=("rows",))


def _activation(storage):
    arrays = ("x", "bias", "y", "dy", "dx", "gate", "up", "dgate", "dup")
    arrays = dict.fromkeys(arrays, "storage") | {"dbias": "fp32"}
    common = {"storage": storage, "any_integer": ("M", "each")}
    for kind in ("relu", "gelu", "gelu_tanh", "silu"):
        for biased in (False, True):
            options = {"KIND": kind, "BIAS": biased, "C": 256 if biased else 1024}
            yield Specialisation("activation", ACTIVATION_FORWARD, arrays, options=options,
                                 unused=() if biased else ("bias",), **common)  # fmt: skip
            yield Specialisation("activation", ACTIVATION_BACKWARD, arrays, options=options,
                                 unused=() if biased else ("bias", "dbias"), **common)  # fmt: skip
        if kind != "relu":
            options = {"KIND": kind, "GATE_BIAS": False, "UP_BIAS": False, "C": 1024}
            biases = ("gate_bias", "up_bias")
            yield Specialisation("activation", GLU_FORWARD, arrays, options=options,
                                 unused=biases, **common)  # fmt: skip
            yield Specialisation("activation", GLU_BACKWARD, arrays, options=options,
                                 unused=(*biases, "dgate_bias", "dup_bias"), **common)  # fmt: skip


def _dropout(storage):
    pointers = dict.fromkeys(("x", "residual", "y"), "storage")
    for residual in (False, True):
        yield Specialisation(
            "dropout", DROPOUT, pointers, storage, {"RESIDUAL": residual}, floats=("scale",),
            unused=() if residual else ("residual",),
        )  # fmt: skip


def _rotary(storage):
    """Head sizes up to 128; each program turns 1024 pairs at a time."""
    for table in dict.fromkeys((storage, "fp32")):
        pointers = {"x": "storage", "y": "storage", "cos": table, "sin": table, "positions": "i64"}
        for half, interleaved, positions in product((32, 64), (False, True), (False, True)):
            options = {"POSITIONS": positions, "INTERLEAVED": interleaved, "REST": 64,
                       "HEADS": 1024 // half, "HALF": half}  # fmt: skip
            yield Specialisation(
                "rotary", ROTARY, pointers, storage, options, floats=("direction",),
                unused=() if positions else ("positions",),
                any_integer=("seq", "heads", "length", "positions_batch", "positions_seq"),
            )  # fmt: skip


FAMILIES = (_softmax, _norm, _norm_backward, _column_sums, _activation, _dropout, _rotary)


def specialisations(storage):
    for family in FAMILIES:
        yield from family(storage)
