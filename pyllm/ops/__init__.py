"""The functional ops: arrays in, arrays of the same framework out, forward and backward.

Every op takes NumPy arrays or anything with `__dlpack__` (torch, JAX, CuPy, ...) without copying
and returns the caller's kind of array. Storage may be float32, bfloat16, float16 or float64;
16-bit inputs are computed in float32 and rounded once, at the end.
"""

from pyllm.ops.activation import gelu, gelu_backward, relu, relu_backward, silu, silu_backward
from pyllm.ops.adafactor import adafactor_step
from pyllm.ops.adam import adam_step, adamw_step
from pyllm.ops.attention import attention, attention_backward, attention_decode
from pyllm.ops.backend import set_backend, use_backend
from pyllm.ops.blockwise import Blockwise, dequantize_blockwise, quantize_blockwise
from pyllm.ops.cross_entropy import cross_entropy, cross_entropy_backward
from pyllm.ops.dropout import dropout, dropout_backward
from pyllm.ops.embedding import embedding, embedding_backward
from pyllm.ops.glu import geglu, geglu_backward, swiglu, swiglu_backward
from pyllm.ops.gradient_norm import sum_of_squares
from pyllm.ops.layer_norm import layer_norm, layer_norm_backward
from pyllm.ops.linear import linear, linear_backward
from pyllm.ops.linear_cross_entropy import (
    linear_cross_entropy,
    linear_cross_entropy_forward_backward,
)
from pyllm.ops.lion import lion_step
from pyllm.ops.matmul import matmul
from pyllm.ops.rms_norm import rms_norm, rms_norm_backward
from pyllm.ops.rotary import rotary, rotary_backward, rotary_cache
from pyllm.ops.sgd import sgd_step
from pyllm.ops.softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

__all__ = [
    "Blockwise",
    "adafactor_step",
    "adam_step",
    "adamw_step",
    "attention",
    "attention_backward",
    "attention_decode",
    "cross_entropy",
    "cross_entropy_backward",
    "dequantize_blockwise",
    "dropout",
    "dropout_backward",
    "embedding",
    "embedding_backward",
    "geglu",
    "geglu_backward",
    "gelu",
    "gelu_backward",
    "layer_norm",
    "layer_norm_backward",
    "linear",
    "linear_backward",
    "linear_cross_entropy",
    "linear_cross_entropy_forward_backward",
    "lion_step",
    "log_softmax",
    "log_softmax_backward",
    "matmul",
    "quantize_blockwise",
    "relu",
    "relu_backward",
    "rms_norm",
    "rms_norm_backward",
    "rotary",
    "rotary_backward",
    "rotary_cache",
    "set_backend",
    "sgd_step",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "sum_of_squares",
    "swiglu",
    "swiglu_backward",
    "use_backend",
]
