"""Tensor and the tape."""

from pyllm.autograd.mode import is_recording, no_grad
from pyllm.autograd.tensor import Tensor, record

__all__ = ["Tensor", "is_recording", "no_grad", "record"]
