"""The activation functions and their derivatives, in float32.

gelu = x Phi(x);  gelu_tanh = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3), which is the
formula with tanh, 0.5 (1 + tanh u) = sigmoid(2 u);  silu = x sigmoid(x);  relu keeps NaN
"""

import triton
import triton.language as tl

_SQRT_HALF = tl.constexpr(0.7071067811865476)
_DENSITY = tl.constexpr(0.3989422804014327)  # 1 / sqrt(2 pi)
_TANH_SLOPE = tl.constexpr(1.5957691216057308)  # 2 sqrt(2 / pi)
_CUBE = tl.constexpr(0.044715)
_CUBE_SLOPE = tl.constexpr(3 * 0.044715)


@triton.jit
def sigmoid(x):
    return 1 / (1 + tl.exp(-x))


@triton.jit
def activate(x, KIND: tl.constexpr):
    if KIND == "gelu":
        y = x * 0.5 * (1 + tl.erf(x * _SQRT_HALF))
    elif KIND == "gelu_tanh":
        y = x * sigmoid((x + x * x * x * _CUBE) * _TANH_SLOPE)
    elif KIND == "silu":
        y = x * sigmoid(x)
    else:
        y = tl.where(x < 0, 0.0, x)
    return y


@triton.jit
def slope(x, KIND: tl.constexpr):
    if KIND == "gelu":
        y = 0.5 * (1 + tl.erf(x * _SQRT_HALF)) + x * _DENSITY * tl.exp(-0.5 * x * x)
    elif KIND == "gelu_tanh":
        p = sigmoid((x + x * x * x * _CUBE) * _TANH_SLOPE)
        y = p + x * p * (1 - p) * _TANH_SLOPE * (1 + x * x * _CUBE_SLOPE)
    elif KIND == "silu":
        p = sigmoid(x)
        y = p * (1 + x * (1 - p))
    else:
        y = tl.where(x > 0, 1.0, 0.0)
    return y
