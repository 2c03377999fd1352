"""Tensor and the tape."""

from pyllm.autograd.checkpoint import checkpoint
from pyllm.autograd.mode import enable_grad, is_recording, no_grad
from pyllm.autograd.tensor import Tensor, record

__all__ = ["Tensor", "checkpoint", "enable_grad", "is_recording", "no_grad", "record"]
