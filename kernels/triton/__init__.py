"""Triton kernels: the functions of `pyllm.ops` for torch CUDA tensors, or through the interpreter.

One file an op family: kernels, their tuning, launchers. The launchers take the positional arguments
of `pyllm._cpu`'s functions, check them in the same words, and run on the tensor's device and its
current stream. `storage.py` converts to and from float32, `arguments.py` checks, `tuning.py` picks
tile sizes.
"""

from pyllm.kernels.triton.softmax import (
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)

__all__ = [
    "log_softmax",
    "log_softmax_backward",
    "softmax",
    "softmax_backward",
]


def __getattr__(name):
    from pyllm import ops

    if name in ops.__all__:
        raise NotImplementedError(f"{name}: the Triton back end has no kernel for this op")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
