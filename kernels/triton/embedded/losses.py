"""cross_entropy without class weights, targets of 32 and 64 bits.

For linear_cross_entropy also the gradient of float32 logits in 16 bits, which its products take.
"""

from itertools import product

from pyllm.kernels.triton.cross_entropy import BACKWARD, FORWARD, TILE
from pyllm.kernels.triton.specialisations import Specialisation

_COMMON = {
    "floats": ("smoothing", "z_loss", "scale"),
    "any_integer": ("ignore_index", "mean", "grad_step"),
}


def specialisations(storage):
    for targets, smooth in product(("i64", "i32"), (False, True)):
        pointers = dict.fromkeys(("logits", "dlogits"), "storage") | {"targets": targets}
        pointers |= dict.fromkeys(("loss_out", "lse_out", "lse_in", "grad", "totals"), "fp32")
        options = {"WEIGHT": False, "SMOOTH": smooth, "N": TILE}
        yield Specialisation("cross_entropy", FORWARD, pointers, storage, options,
                             unused=("weight", "weight_out"), **_COMMON)  # fmt: skip
        for absent in ((), ("grad", "grad_step")):
            yield Specialisation("cross_entropy", BACKWARD, pointers, storage, options,
                                 unused=("weight", *absent), **_COMMON)  # fmt: skip
        if storage != "fp32":
            wide = pointers | {"logits": "fp32"}
            yield Specialisation("cross_entropy", BACKWARD, wide, storage, options,
                                 unused=("weight", "grad", "grad_step"), **_COMMON)  # fmt: skip
