"""Tensor and the tape."""

from pyllm.autograd.arithmetic import matmul, maximum, minimum
from pyllm.autograd.arrays import Array
from pyllm.autograd.checkpoint import checkpoint
from pyllm.autograd.function import Context, Function
from pyllm.autograd.joining import concat, split, stack, where
from pyllm.autograd.mode import enable_grad, is_recording, no_grad
from pyllm.autograd.recipe import keep, leave_recipe
from pyllm.autograd.tape import record
from pyllm.autograd.tensor import Tensor

__all__ = [
    "Array",
    "Context",
    "Function",
    "Tensor",
    "checkpoint",
    "concat",
    "enable_grad",
    "is_recording",
    "keep",
    "leave_recipe",
    "matmul",
    "maximum",
    "minimum",
    "no_grad",
    "record",
    "split",
    "stack",
    "where",
]
