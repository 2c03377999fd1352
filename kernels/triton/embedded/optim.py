"""Optimizer steps: gradients of the parameter's type or float32, with master weights or without."""

from dataclasses import replace

from pyllm.kernels.triton.optim import ADAM, LION, SGD
from pyllm.kernels.triton.specialisations import Specialisation

# BUFFER, FIRST, NESTEROV: without momentum, its first step, and later ones.
MOMENTA = (
    (False, False, False), (True, True, False), (True, False, False), (True, True, True),
    (True, False, True),
)  # fmt: skip


def _steps(storage):
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
        for buffer, first, nesterov in MOMENTA:
            options = {"BUFFER": buffer, "FIRST": first, "NESTEROV": nesterov, "MASTER": master}
            yield Specialisation("optim", SGD, pointers, storage, options,
                                 unused=absent if buffer else (*absent, "buffer"))  # fmt: skip
        yield Specialisation("optim", LION, pointers, storage, {"MASTER": master}, unused=absent)


def specialisations(storage):
    for s in _steps(storage):
        yield s
        if storage != "fp32":
            yield replace(s, pointers=s.pointers | {"grad": "fp32"})
