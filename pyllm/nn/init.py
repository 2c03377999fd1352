"""First values of parameters, drawn from `pyllm.random`.

    xavier:  variance gain^2 * 2 / (fan_in + fan_out)       (Glorot and Bengio 2010)
    kaiming: variance gain^2 / fan                          (He et al. 2015)
    gpt2:    normal, std 0.02, and std / sqrt(2 layers) where a product ends in the residual stream,
             whose variance would otherwise grow with depth (Radford et al. 2019)

A weight is (out, in, ...): fan_in counts the inputs of an output, fan_out the outputs of an input.
"""

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import numpy as np

from pyllm import random
from pyllm.autograd import Array, Tensor
from pyllm.nn.module import Module

Nonlinearity: TypeAlias = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "gelu", "silu"]


class _Skip(threading.local):
    active = False


_skip = _Skip()


@contextmanager
def skip_init() -> Iterator[None]:
    """Within it, new layers start at zero (norms at one): their weights are set or loaded next."""
    before, _skip.active = _skip.active, True
    try:
        yield
    finally:
        _skip.active = before


def is_skipped() -> bool:
    """Whether layers made now leave their parameters at zero."""
    return _skip.active


def constant_(tensor: Tensor, value: float) -> Tensor:
    return _fill(tensor, np.asarray(value))


def zeros_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    return constant_(tensor, 1)


def uniform_(tensor: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Uniform in [low, high)."""
    drawn = random.generator().random(tensor.shape, np.float32)
    return _fill(tensor, drawn * np.float32(high - low) + np.float32(low))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normal with this mean and standard deviation.

    Raises:
        ValueError: std is negative.
    """
    if std < 0:
        raise ValueError(f"std: expected 0 or more, got {std}")
    drawn = random.generator().standard_normal(tensor.shape, np.float32)
    return _fill(tensor, drawn * np.float32(std) + np.float32(mean))


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0
) -> Tensor:
    """Normal, drawn again wherever it falls outside [low, high] standard deviations.

    Raises:
        ValueError: std is negative, or low >= high.
    """
    if std < 0:
        raise ValueError(f"std: expected 0 or more, got {std}")
    if not low < high:
        raise ValueError(f"low: expected less than high = {high}, got {low}")
    if low > 4 or high < -4:
        raise ValueError(f"low, high: less than 1 in 10000 falls in [{low}, {high}]")
    generator = random.generator()
    drawn = generator.standard_normal(tensor.shape, np.float32)
    outside = (drawn < low) | (drawn > high)
    while outside.any():
        drawn[outside] = generator.standard_normal(int(outside.sum()), np.float32)
        outside = (drawn < low) | (drawn > high)
    return _fill(tensor, drawn * np.float32(std) + np.float32(mean))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    bound = gain * math.sqrt(6 / max(sum(fans(tensor)), 1))
    return uniform_(tensor, -bound, bound)


def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    return normal_(tensor, std=gain * math.sqrt(2 / max(sum(fans(tensor)), 1)))


def kaiming_uniform_(
    tensor: Tensor,
    nonlinearity: Nonlinearity = "relu",
    *,
    slope: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
) -> Tensor:
    """Keeps the variance through the nonlinearity: forward by fan_in, backward by fan_out."""
    bound = math.sqrt(3) * _kaiming_std(tensor, nonlinearity, slope, mode)
    return uniform_(tensor, -bound, bound)


def kaiming_normal_(
    tensor: Tensor,
    nonlinearity: Nonlinearity = "relu",
    *,
    slope: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
) -> Tensor:
    """Keeps the variance through the nonlinearity: forward by fan_in, backward by fan_out."""
    return normal_(tensor, std=_kaiming_std(tensor, nonlinearity, slope, mode))


def gpt2_(
    module: Module,
    num_layers: int,
    *,
    std: float = 0.02,
    residual: tuple[str, ...] = ("out.weight", "down.weight"),
) -> Module:
    """GPT-2's scheme for all parameters of a module.

    Args:
        num_layers: blocks in the residual stream; each adds to it twice.
        residual: how the names of matrices end whose product is added to the residual stream.
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim >= 2:
            scale = math.sqrt(2 * num_layers) if name.endswith(residual) else 1.0
            normal_(parameter, std=std / scale)
        elif name.endswith("bias"):
            zeros_(parameter)
        else:
            ones_(parameter)
    return module


def gain_of(nonlinearity: Nonlinearity, slope: float = 0.0) -> float:
    """What a weight's standard deviation is multiplied by for the nonlinearity that follows.

    Raises:
        ValueError: an unknown one.
    """
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2),
        "leaky_relu": math.sqrt(2 / (1 + slope * slope)),
        "gelu": math.sqrt(2),
        "silu": math.sqrt(2),
    }
    if nonlinearity not in gains:
        raise ValueError(f"nonlinearity: expected one of {', '.join(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]


def fans(tensor: Tensor) -> tuple[int, int]:
    """(fan_in, fan_out).

    Raises:
        ValueError: fewer than two axes.
    """
    if tensor.ndim < 2:
        raise ValueError(f"tensor: expected two axes or more, got shape {tensor.shape}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _kaiming_std(tensor: Tensor, nonlinearity: Nonlinearity, slope: float, mode: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode: expected fan_in or fan_out, got {mode!r}")
    fan = fans(tensor)[mode == "fan_out"]
    return gain_of(nonlinearity, slope) / math.sqrt(max(fan, 1))


def _fill(tensor: Tensor, values: Array) -> Tensor:
    np.copyto(tensor.data, values, casting="unsafe")
    tensor.mark_changed()
    return tensor
