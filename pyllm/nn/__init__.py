"""Layers."""

from pyllm.nn import functional, init
from pyllm.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
from pyllm.nn.module import FlatParameters, Module, ModuleList, Parameter, Sequential

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
    "Sequential",
    "functional",
    "init",
]
