"""Which kernels a build with PYLLM_TRITON_AOT=ON holds: what csrc/bindings_cuda/embedded_* launch.

Rows of softmax and of the norms are whole up to 4096 elements, padded to one of few widths, and
tiled beyond. Sizes along which memory is contiguous must be multiples of 16; other launches are
left to the CUDA kernels.
"""

from dataclasses import replace

from pyllm.kernels.triton.activation import BACKWARD as ACTIVATION_BACKWARD
from pyllm.kernels.triton.activation import FORWARD as ACTIVATION_FORWARD
from pyllm.kernels.triton.activation import GLU_FORWARD
from pyllm.kernels.triton.norm import FORWARD as NORM_FORWARD
from pyllm.kernels.triton.optim import ADAM, LION, SGD
from pyllm.kernels.triton.softmax import BACKWARD as SOFTMAX_BACKWARD
from pyllm.kernels.triton.softmax import FORWARD as SOFTMAX_FORWARD
from pyllm.kernels.triton.specialisations import Specialisation

CAPABILITIES = (80, 90, 100)
STORAGE = ("fp32", "fp16", "bf16")
TILE = 4096


def _softmax(storage):
    forward = dict.fromkeys(("x", "y"), "storage")
    backward = dict.fromkeys(("dy", "y", "dx"), "storage")
    common = {"storage": storage, "floats": ("inverse",), "any_integer": ("M",)}
    widths = [{"WHOLE": True, "R": TILE // n, "N": n} for n in (256, 1024, TILE)]
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


def _activation(storage):
    arrays = dict.fromkeys(("x", "bias", "y", "dy", "dx", "gate", "up"), "storage")
    common = {"storage": storage, "any_integer": ("M", "each")}
    for kind in ("relu", "gelu", "gelu_tanh", "silu"):
        for biased in (False, True):
            options = {"KIND": kind, "BIAS": biased, "C": 256 if biased else 1024}
            yield Specialisation("activation", ACTIVATION_FORWARD, arrays, options=options,
                                 unused=() if biased else ("bias",), **common)  # fmt: skip
        options = {"KIND": kind, "BIAS": False, "C": 1024}
        yield Specialisation("activation", ACTIVATION_BACKWARD, arrays, options=options,
                             unused=("bias", "dbias"), **common)  # fmt: skip
        if kind != "relu":
            options = {"KIND": kind, "GATE_BIAS": False, "UP_BIAS": False, "C": 1024}
            yield Specialisation("activation", GLU_FORWARD, arrays, options=options,
                                 unused=("gate_bias", "up_bias"), **common)  # fmt: skip


def _optim(storage):
    pointers = {"param": "storage", "grad": "storage"}
    states = ("exp_avg", "exp_avg_sq", "largest", "buffer", "master")
    pointers |= dict.fromkeys(states, "fp32")
    for master in (False,) if storage == "fp32" else (False, True):
        absent = () if master else ("master",)
        for largest in (False, True):
            yield Specialisation(
                "optim", ADAM, pointers, storage, {"LARGEST": largest, "MASTER": master},
                unused=absent if largest else (*absent, "largest"),
            )  # fmt: skip
        for buffer, first, nesterov in (
            (False, False, False), (True, True, False), (True, False, False), (True, True, True),
            (True, False, True),
        ):  # fmt: skip
            options = {"BUFFER": buffer, "FIRST": first, "NESTEROV": nesterov, "MASTER": master}
            yield Specialisation("optim", SGD, pointers, storage, options,
                                 unused=absent if buffer else (*absent, "buffer"))  # fmt: skip
        yield Specialisation("optim", LION, pointers, storage, {"MASTER": master}, unused=absent)


def embedded():
    """All of them, the first that suits a launch first."""
    for storage in STORAGE:
        for family in (_softmax, _norm, _activation, _optim):
            for s in family(storage):
                yield s
                if s.tuned in (ADAM, SGD, LION) and storage != "fp32":  # gradients kept in float32
                    yield replace(s, pointers=s.pointers | {"grad": "fp32"})
