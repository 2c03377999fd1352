"""Specialisations beyond those with a budget: that every option compiles, and sizes of 1.

Triton compiles an integer argument that is 1 in as a constant, where types may then differ. Run as
a program this compiles them all for sm_90, by printing the names of those that fail and why.
"""

from dataclasses import replace

from pyllm.kernels.triton.attention.backward import DELTA
from pyllm.kernels.triton.norm import BACKWARD_COLUMNS, BACKWARD_LONG
from pyllm.kernels.triton.specialisations import Specialisation, specialisations

CAPABILITY = 90
# What else the launchers set, by kernel, in place of what the specialisation with a budget has.
OPTIONS = {
    "softmax_forward_kernel": [{"LOG": True}, {"WHOLE": False}, {"WHOLE": False, "LOG": True}],
    "softmax_backward_kernel": [{"LOG": True}, {"WHOLE": False}, {"R": 16, "N": 64}],
    "norm_forward_kernel": [{"WHOLE": False}, {"RESIDUAL": False, "STATS": False}],
    "norm_backward_kernel": [{"WEIGHT": False}, {"MORE": False}],
    "activation_backward_kernel": [{"KIND": "relu"}],
    "rotary_kernel": [{"POSITIONS": False}],
    "cross_entropy_forward_kernel": [{"SMOOTH": False}],
    "cross_entropy_backward_kernel": [{"SMOOTH": False}],
    "sgd_kernel": [{"FIRST": True}, {"BUFFER": False}, {"NESTEROV": False}],
    "attention_forward_kernel": [{"PACKED": True}, {"EVEN": False}, {"D": 16, "DV": 128}],
    "attention_dkdv_kernel": [{"PACKED": True}, {"EVEN": False}, {"D": 16, "DV": 128}],
    "attention_dq_kernel": [{"PACKED": True}, {"EVEN": False}, {"D": 16, "DV": 128}],
    "attention_dbias_kernel": [
        {"PACKED": True},
        {"BATCH_SHARED": True, "ROWS_SHARED": True},
        {"COLUMNS_SHARED": True, "ALIGNED": False},
        {"ROWS_SHARED": True, "COLUMNS_SHARED": True},
    ],
    "histogram_kernel": [{"ROWS": False}],
}
SIZES = (
    "M", "n", "each", "seq", "heads", "half", "dim", "pitch", "Tq", "Tk", "group", "width",
    "value_width", "q_row", "q_head", "k_row", "lse_head", "drop_rows", "drop_columns", "count",
    "samples", "max_bin",
)  # fmt: skip


def variants():
    seen = set()
    for s in specialisations():
        kernel = s.tuned.kernel.__name__
        if s.storage == "fp32" or kernel in seen:
            continue
        seen.add(kernel)
        names = {p.name for p in s.tuned.kernel.params if not p.is_constexpr}
        ones = {size for size in SIZES if size in names and size not in s.unused}
        yield f"{kernel} sizes of 1", replace(s, ones=(*s.ones, *ones - set(s.ones)))
        for options in OPTIONS.get(kernel, []):
            unused = s.unused
            if options.get("PACKED"):
                unused = tuple(n for n in unused if n not in ("q_starts", "k_starts"))
            if options.get("POSITIONS") is False:
                unused = (*unused, "positions")
            yield f"{kernel} {options}", replace(s, options=s.options | options, unused=unused)
    arrays = dict.fromkeys(("dy", "x", "weight", "more", "dx"), "storage")
    arrays |= dict.fromkeys(("mean_in", "rstd_in", "dweight", "dbias"), "fp32")
    long = {"LAYER": True, "WEIGHT": True, "MORE": True, "N": 4096}
    yield "norm_backward_long", Specialisation("norm", BACKWARD_LONG, arrays, "bf16", long)
    columns = {"LAYER": True, "R": 16, "N": 128}
    yield "norm_backward_columns", Specialisation("norm", BACKWARD_COLUMNS, arrays, "bf16", columns)
    pointers = dict.fromkeys(("grad", "out"), "storage") | {"delta": "fp32", "q_starts": "i32"}
    delta = {"PACKED": True, "DV": 128}
    yield "delta packed", Specialisation("attention", DELTA, pointers, "bf16", delta)


if __name__ == "__main__":
    for name, variant in variants():
        try:
            variant.compile(CAPABILITY)
        except Exception as error:
            print(f"{name}: {error}")
