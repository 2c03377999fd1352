"""Attention forward and backward in 16 bits, heads of 64, 128 and 256 features.

Grouped heads, lengths and the sides of a window are numbers of the launch. A kernel that knows it
is causal leaves out the left edge; all others take both edges, which lie far away where there is
none: tiles that every query sees in full skip the masks in either.
"""

from pyllm.kernels.triton.attention.backward import DELTA, DKDV, DQ
from pyllm.kernels.triton.attention.forward import FORWARD
from pyllm.kernels.triton.specialisations import Specialisation

_NUMBERS = (
    "Tq", "Tk", "heads", "group", "left", "right", "lse_batch", "lse_head", "mask_batch",
    "mask_column", "drop_rows", "drop_columns",
)  # fmt: skip
_BIAS = ("bias", "bias_batch", "bias_head", "bias_row", "bias_column")
_ALIBI = ("alibi", "alibi_batch", "alibi_head")
_MASK = ("key_mask", "mask_batch", "mask_column")
_STARTS = ("q_starts", "k_starts")
_POINTERS = dict.fromkeys(("q", "k", "v", "out", "grad", "dq", "dk", "dv_out"), "storage") | {
    "q_starts": "i32", "k_starts": "i32", "lse": "fp32", "delta": "fp32", "key_mask": "i1",
}  # fmt: skip


def _kernels(storage, head_dim, *, causal=False, packed=False, **more):
    """Forward, and the two of backward."""
    options = {
        "PACKED": packed, "LEFT": not causal, "RIGHT": True, "SOFTCAP": False, "BIAS": False,
        "KEY_MASK": False, "ALIBI": False, "DROPOUT": False, "ALIGNED": True, "D": head_dim,
        "DV": head_dim, "EVEN": True, "BYTES": 2, **more,
    }  # fmt: skip
    absent = (*_BIAS, *_ALIBI)
    absent += () if options["KEY_MASK"] else _MASK
    absent += () if packed else _STARTS
    for tuned in (FORWARD, DKDV, DQ):
        yield Specialisation(
            "attention", tuned, _POINTERS, storage, options, unused=absent,
            floats=("scale", "softcap", "keep_scale"), any_integer=_NUMBERS,
        )  # fmt: skip


def specialisations(storage):
    if storage == "fp32":  # the CUDA kernels multiply float32 as it is, these in three passes
        return
    for head_dim in (64, 128, 256):
        for packed in (False, True) if head_dim < 256 else (False,):
            options = {"PACKED": packed, "DV": head_dim}
            yield Specialisation("attention", DELTA, _POINTERS, storage, options,
                                 unused=() if packed else ("q_starts",),
                                 any_integer=_NUMBERS)  # fmt: skip
            for causal in (True, False):
                yield from _kernels(storage, head_dim, causal=causal, packed=packed)
    for head_dim in (64, 128):
        for option in ("KEY_MASK", "SOFTCAP", "DROPOUT"):
            yield from _kernels(storage, head_dim, **{option: True})
