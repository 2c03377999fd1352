"""Triton kernels: the functions of `pyllm.ops` for torch CUDA tensors, or through the interpreter.

One file an op family: kernels, their tuning, launchers. The launchers take the positional arguments
of `pyllm._cpu`'s functions, check them in the same words, and run on the tensor's device and its
current stream. `storage.py` converts to and from float32, `arguments.py` checks, `tuning.py` picks
tile sizes.
"""

from pyllm.kernels.triton.activation import (
    geglu,
    geglu_backward,
    gelu,
    gelu_backward,
    relu,
    relu_backward,
    silu,
    silu_backward,
    swiglu,
    swiglu_backward,
)
from pyllm.kernels.triton.attention import attention, attention_backward
from pyllm.kernels.triton.cross_entropy import cross_entropy, cross_entropy_backward
from pyllm.kernels.triton.dropout import dropout, dropout_backward
from pyllm.kernels.triton.histogram import histogram
from pyllm.kernels.triton.linear_cross_entropy import (
    linear_cross_entropy,
    linear_cross_entropy_forward_backward,
)
from pyllm.kernels.triton.norm import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
from pyllm.kernels.triton.optim import adam_step, lion_step, sgd_step
from pyllm.kernels.triton.rotary import rotary, rotary_backward
from pyllm.kernels.triton.softmax import (
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)

__all__ = [
    "adam_step",
    "attention",
    "attention_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "dropout_backward",
    "geglu",
    "geglu_backward",
    "gelu",
    "gelu_backward",
    "histogram",
    "layer_norm",
    "layer_norm_backward",
    "linear_cross_entropy",
    "linear_cross_entropy_forward_backward",
    "lion_step",
    "log_softmax",
    "log_softmax_backward",
    "relu",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "rotary",
    "rotary_backward",
    "sgd_step",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "swiglu",
    "swiglu_backward",
]


def __getattr__(name):
    from pyllm import ops

    if name in ops.__all__:
        raise NotImplementedError(f"{name}: the Triton back end has no kernel for this op")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
