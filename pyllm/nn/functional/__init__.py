"""The ops of pyllm.ops on tensors: one node of the tape each.

Gradients of weights go straight into the weights' gradient buffers where they have one. Arguments
that are never differentiated (ids, masks, offsets) are plain arrays.
"""

from pyllm.autograd import matmul
from pyllm.nn.functional.activation import (
    geglu,
    geglu_packed,
    gelu,
    relu,
    silu,
    swiglu,
    swiglu_packed,
)
from pyllm.nn.functional.attention import attention, attention_packed
from pyllm.nn.functional.dropout import dropout
from pyllm.nn.functional.embedding import embedding, embedding_sum
from pyllm.nn.functional.linear import linear
from pyllm.nn.functional.loss import cross_entropy, linear_cross_entropy
from pyllm.nn.functional.norm import layer_norm, rms_norm
from pyllm.nn.functional.rotary import rotary
from pyllm.nn.functional.softmax import log_softmax, softmax

__all__ = [
    "attention",
    "attention_packed",
    "cross_entropy",
    "dropout",
    "embedding",
    "embedding_sum",
    "geglu",
    "geglu_packed",
    "gelu",
    "layer_norm",
    "linear",
    "linear_cross_entropy",
    "log_softmax",
    "matmul",
    "relu",
    "rms_norm",
    "rotary",
    "silu",
    "softmax",
    "swiglu",
    "swiglu_packed",
]
