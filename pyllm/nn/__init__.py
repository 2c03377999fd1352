"""Layers."""

from pyllm.nn import functional
from pyllm.nn.layers import Embedding, LayerNorm, Linear
from pyllm.nn.module import FlatParameters, Module, ModuleList, Parameter

__all__ = [
    "Embedding",
    "FlatParameters",
    "LayerNorm",
    "Linear",
    "Module",
    "ModuleList",
    "Parameter",
    "functional",
]
