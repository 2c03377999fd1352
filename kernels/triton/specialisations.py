"""Which kernels are compiled ahead of time, for which types and tile sizes.

A kernel becomes machine code for one choice of storage type, options (the constexpr arguments) and
configuration. These are the choices that language models of usual sizes make: the tests hold their
code to budgets, and a build with PYLLM_TRITON_AOT embeds it.
"""

from dataclasses import dataclass, field

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from pyllm.kernels.triton.activation import BACKWARD as ACTIVATION_BACKWARD
from pyllm.kernels.triton.activation import FORWARD as ACTIVATION_FORWARD
from pyllm.kernels.triton.activation import GLU_BACKWARD, GLU_FORWARD
from pyllm.kernels.triton.attention.backward import DELTA, DKDV, DQ
from pyllm.kernels.triton.attention.dbias import DBIAS
from pyllm.kernels.triton.attention.forward import FORWARD as ATTENTION_FORWARD
from pyllm.kernels.triton.cross_entropy import BACKWARD as CROSS_ENTROPY_BACKWARD
from pyllm.kernels.triton.cross_entropy import FORWARD as CROSS_ENTROPY_FORWARD
from pyllm.kernels.triton.dropout import KERNEL as DROPOUT
from pyllm.kernels.triton.histogram import KERNEL as HISTOGRAM
from pyllm.kernels.triton.norm import BACKWARD as NORM_BACKWARD
from pyllm.kernels.triton.norm import FORWARD as NORM_FORWARD
from pyllm.kernels.triton.optim import ADAM, LION, SGD
from pyllm.kernels.triton.rotary import KERNEL as ROTARY
from pyllm.kernels.triton.softmax import BACKWARD as SOFTMAX_BACKWARD
from pyllm.kernels.triton.softmax import FORWARD as SOFTMAX_FORWARD


@dataclass(frozen=True)
class Specialisation:
    """One kernel for one choice of types, options and configuration.

    Attributes:
        family: the file the kernel stands in.
        tuned: the kernel with its configurations; the first that suits is compiled.
        pointers: element type of each argument that is a pointer; "storage" stands for `storage`.
        storage: fp32, fp16 or bf16.
        options: the constexpr arguments that the launcher sets.
        floats: arguments that are float32 numbers; the others are 32-bit integers, or as annotated.
        unused: arguments that are None for these options.
        ones: integers that are 1, which Triton compiles in.
        any_integer: integers that need not be multiples of 16, as sizes and strides here are.
    """

    family: str
    tuned: object
    pointers: dict
    storage: str
    options: dict = field(default_factory=dict)
    floats: tuple = ()
    unused: tuple = ()
    ones: tuple = ()
    any_integer: tuple = ("each", "seq", "heads", "length")

    @property
    def name(self):
        flags = [k.lower() for k, v in self.options.items() if v is True]
        words = [v for v in self.options.values() if isinstance(v, str)]
        sizes = [f"{k.lower()}{v}" for k, v in self.options.items() if type(v) is int and v > 1]
        kernel = self.tuned.kernel.__name__.removesuffix("_kernel")
        return "_".join([kernel, self.storage, *words, *flags, *sizes])

    def source(self):
        """What `triton.compile` takes, and its options."""
        config = self.tuned.first(**self.options)
        constants = {**self.options, **config.kwargs}
        constants |= dict.fromkeys(self.unused) | dict.fromkeys(self.ones, 1)
        signature, aligned = {}, {}
        for at, parameter in enumerate(self.tuned.kernel.params):
            name = parameter.name
            if name in constants:
                signature[name] = "constexpr"
                continue
            if name in self.pointers:
                kind = self.pointers[name]
                signature[name] = "*" + (self.storage if kind == "storage" else kind)
            elif name in self.floats:
                signature[name] = "fp32"
            else:
                signature[name] = parameter.annotation_type or "i32"
            if name in self.pointers or (signature[name] == "i32" and name not in self.any_integer):
                aligned[(at,)] = [["tt.divisibility", 16]]
        options = {
            "num_warps": config.num_warps,
            "num_stages": config.num_stages,
            "enable_fp_fusion": True,
        }
        source = ASTSource(
            fn=self.tuned.kernel, signature=signature, constexprs=constants, attrs=aligned
        )
        return source, options

    def compile(self, capability):
        """Machine code for sm_<capability>; needs no GPU."""
        source, options = self.source()
        return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def _softmax(storage):
    whole = {"WHOLE": True, "R": 1, "N": 4096}
    strides = ("inner", "x_step", "y_step")
    common = {"storage": storage, "floats": ("inverse",)}
    yield Specialisation(
        "softmax", SOFTMAX_FORWARD, dict.fromkeys(("x", "y"), "storage"),
        options={"MASKED": False, "LOG": False, **whole}, ones=strides,
        unused=("mask", "mask_outer", "mask_step", "mask_inner"), **common,
    )  # fmt: skip
    yield Specialisation(
        "softmax", SOFTMAX_BACKWARD, dict.fromkeys(("dy", "y", "dx"), "storage"),
        options={"LOG": False, **whole}, ones=("inner", "dy_step", "y_step", "dx_step"), **common,
    )  # fmt: skip


def _norm(storage):
    statistics = {"mean_in": "fp32", "rstd_in": "fp32", "mean_out": "fp32", "rstd_out": "fp32"}
    arrays = dict.fromkeys(
        ("x", "residual", "weight", "bias", "total", "y", "dy", "more", "dx"), "storage"
    )
    partial = {"dweight": "fp32", "dbias": "fp32"}
    for layer in (True, False):
        bias = () if layer else ("bias", "mean_out")
        yield Specialisation(
            "norm", NORM_FORWARD, arrays | statistics, storage,
            {"LAYER": layer, "RESIDUAL": True, "WEIGHT": True, "BIAS": layer, "STATS": True,
             "WHOLE": True, "N": 4096}, floats=("eps",), unused=bias,
        )  # fmt: skip
        yield Specialisation(
            "norm", NORM_BACKWARD, arrays | statistics | partial, storage,
            {"LAYER": layer, "WEIGHT": True, "MORE": True, "N": 4096},
            unused=() if layer else ("mean_in", "dbias"),
        )  # fmt: skip


def _activation(storage):
    arrays = dict.fromkeys(("x", "y", "dy", "dx", "bias", "gate", "up", "dgate", "dup"), "storage")
    for kind, biased in (("gelu_tanh", True), ("gelu", True), ("silu", False)):
        options = {"KIND": kind, "BIAS": biased, "C": 256 if biased else 1024}
        unused = () if biased else ("bias",)
        yield Specialisation("activation", ACTIVATION_FORWARD, arrays, storage, options,
                             unused=unused)  # fmt: skip
        yield Specialisation(
            "activation", ACTIVATION_BACKWARD, arrays | {"dbias": "fp32"}, storage, options,
            unused=unused if biased else ("bias", "dbias"),
        )  # fmt: skip
    for kind in ("silu", "gelu_tanh"):
        options = {"KIND": kind, "GATE_BIAS": False, "UP_BIAS": False, "C": 1024}
        biases = ("gate_bias", "up_bias")
        yield Specialisation("activation", GLU_FORWARD, arrays, storage, options,
                             unused=biases)  # fmt: skip
        yield Specialisation("activation", GLU_BACKWARD, arrays, storage, options,
                             unused=(*biases, "dgate_bias", "dup_bias"))  # fmt: skip


def _dropout(storage):
    arrays = dict.fromkeys(("x", "residual", "y"), "storage")
    yield Specialisation("dropout", DROPOUT, arrays, storage, {"RESIDUAL": True},
                         floats=("scale",))  # fmt: skip


def _rotary(storage):
    pointers = {"x": "storage", "y": "storage", "cos": "fp32", "sin": "fp32", "positions": "i64"}
    for interleaved in (False, True):
        yield Specialisation(
            "rotary", ROTARY, pointers, storage,
            {"POSITIONS": True, "INTERLEAVED": interleaved, "REST": 64, "HEADS": 16, "HALF": 64},
            floats=("direction",),
        )  # fmt: skip


def _cross_entropy(storage):
    pointers = dict.fromkeys(("logits", "dlogits", "weight"), "storage") | {"targets": "i64"}
    pointers |= dict.fromkeys(
        ("loss_out", "lse_out", "weight_out", "lse_in", "grad", "totals"), "fp32"
    )
    options = {"WEIGHT": False, "SMOOTH": True, "N": 4096}
    common = {"floats": ("smoothing", "z_loss", "scale"), "any_integer": ("mean", "ignore_index")}
    yield Specialisation("cross_entropy", CROSS_ENTROPY_FORWARD, pointers, storage, options,
                         unused=("weight",), **common)  # fmt: skip
    yield Specialisation("cross_entropy", CROSS_ENTROPY_BACKWARD, pointers, storage, options,
                         unused=("weight",), ones=("grad_step",), **common)  # fmt: skip


def _optim(storage):
    pointers = {"param": "storage", "grad": "storage"}
    pointers |= dict.fromkeys(("exp_avg", "exp_avg_sq", "buffer", "master"), "fp32")
    master = storage != "fp32"
    absent = () if master else ("master",)
    yield Specialisation("optim", ADAM, pointers, storage, {"LARGEST": False, "MASTER": master},
                         unused=("largest", *absent))  # fmt: skip
    yield Specialisation(
        "optim", SGD, pointers, storage,
        {"BUFFER": True, "FIRST": False, "NESTEROV": True, "MASTER": master}, unused=absent,
    )  # fmt: skip
    yield Specialisation("optim", LION, pointers, storage, {"MASTER": master}, unused=absent)


def _attention(storage, head_dim, *, causal=True, every_option=False):
    arrays = ("q", "k", "v", "out", "grad", "dq", "dk", "dv_out")
    pointers = dict.fromkeys(arrays, "storage") | {"q_starts": "i32", "k_starts": "i32"}
    pointers |= dict.fromkeys(("lse", "delta", "alibi", "dbias"), "fp32")
    pointers |= {"bias": "storage", "key_mask": "i1"}
    options = {
        "PACKED": False, "LEFT": every_option, "RIGHT": causal, "SOFTCAP": every_option,
        "BIAS": every_option, "KEY_MASK": every_option, "ALIBI": every_option,
        "DROPOUT": every_option, "ALIGNED": True, "D": head_dim, "DV": head_dim, "EVEN": True,
        "BYTES": 4 if storage == "fp32" else 2,
    }  # fmt: skip
    absent = ("q_starts", "k_starts")
    if not every_option:
        absent += (
            "bias", "bias_batch", "bias_head", "bias_row", "bias_column", "key_mask", "mask_batch",
            "mask_column", "alibi", "alibi_batch", "alibi_head",
        )  # fmt: skip
    common = {
        "storage": storage, "options": options, "unused": absent,
        "floats": ("scale", "softcap", "keep_scale"),
        "ones": ("bias_column", "mask_column") if every_option else (),
    }  # fmt: skip
    for tuned in (ATTENTION_FORWARD, DKDV, DQ):
        yield Specialisation("attention", tuned, pointers, **common)
    if every_option:
        shared = {"BATCH_SHARED": False, "ROWS_SHARED": False, "COLUMNS_SHARED": False}
        common["options"] = options | shared
        common["ones"] += ("dbias_column",)
        yield Specialisation("attention", DBIAS, pointers, **common)
        delta = {"PACKED": False, "DV": head_dim}
        yield Specialisation("attention", DELTA, pointers, storage, delta, unused=("q_starts",))


def specialisations():
    """All of them."""
    families = (_softmax, _norm, _activation, _dropout, _rotary, _cross_entropy, _optim)
    for family in families:
        for storage in ("fp32", "bf16"):
            yield from family(storage)
    for head_dim in (64, 128):
        yield from _attention("bf16", head_dim)
    yield from _attention("bf16", 256)
    yield from _attention("fp32", 64)
    yield from _attention("bf16", 64, every_option=True)
    pointers = {"bins": "u8", "gradients": "i32", "rows": "i32", "sums": "i64"}
    yield Specialisation("histogram", HISTOGRAM, pointers, "u8", {"ROWS": True})
