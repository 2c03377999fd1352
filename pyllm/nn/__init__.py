"""Layers."""

from pyllm.nn import functional, init
from pyllm.nn.attention import MultiHeadAttention
from pyllm.nn.cache import KVCache
from pyllm.nn.layers import Dropout, Embedding, LayerNorm, Linear, RMSNorm
from pyllm.nn.mlp import MLP
from pyllm.nn.module import FlatParameters, Module, ModuleList, Parameter, Sequential
from pyllm.nn.positions import (
    ALiBi,
    LearnedPositionalEmbedding,
    RotaryEmbedding,
    SinusoidalPositionalEncoding,
)
from pyllm.nn.transformer import BlockCache, TransformerBlock

__all__ = [
    "MLP",
    "ALiBi",
    "BlockCache",
    "Dropout",
    "Embedding",
    "FlatParameters",
    "KVCache",
    "LayerNorm",
    "LearnedPositionalEmbedding",
    "Linear",
    "Module",
    "ModuleList",
    "MultiHeadAttention",
    "Parameter",
    "RMSNorm",
    "RotaryEmbedding",
    "Sequential",
    "SinusoidalPositionalEncoding",
    "TransformerBlock",
    "functional",
    "init",
]
