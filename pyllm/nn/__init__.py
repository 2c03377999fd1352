"""Layers."""

from pyllm.nn import functional
from pyllm.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
from pyllm.nn.module import FlatParameters, Module, ModuleList, Parameter

__all__ = [
    "Dropout",
    "Embedding",
    "FlatParameters",
    "LayerNorm",
    "Linear",
    "Module",
    "ModuleList",
    "Parameter",
    "RMSNorm",
    "functional",
]
