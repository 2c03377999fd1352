"""First values: their moments, bounds, and that a seed repeats them."""

import math

import ml_dtypes
import numpy as np
import pytest

import pyllm
from pyllm.nn import Embedding, LayerNorm, Linear, Parameter, Sequential, init

SHAPE = (300, 500)


def parameter(shape=SHAPE, dtype=np.float32):
    return Parameter(np.full(shape, 7, dtype))


# name -> (function, mean, standard deviation, bound)
SCHEMES = {
    "normal": (lambda p: init.normal_(p, 1.0, 0.5), 1, 0.5, None),
    "uniform": (lambda p: init.uniform_(p, -1, 3), 1, 4 / math.sqrt(12), (-1, 3)),
    "truncated": (lambda p: init.trunc_normal_(p, 1.0, 0.5), 1, 0.5 * 0.8796, (0, 2)),
    "xavier_uniform": (init.xavier_uniform_, 0, math.sqrt(2 / 800), None),
    "xavier_normal": (lambda p: init.xavier_normal_(p, 2.0), 0, 2 * math.sqrt(2 / 800), None),
    "kaiming_uniform": (init.kaiming_uniform_, 0, math.sqrt(2 / 500), None),
    "kaiming_normal": (
        lambda p: init.kaiming_normal_(p, "tanh", mode="fan_out"),
        0,
        5 / 3 / math.sqrt(300),
        None,
    ),
    "kaiming leaky": (
        lambda p: init.kaiming_normal_(p, "leaky_relu", slope=1.0),
        0,
        1 / math.sqrt(500),
        None,
    ),
}


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
def test_moments(name, dtype):
    fill, mean, std, bound = SCHEMES[name]
    pyllm.seed(1)
    p = parameter(dtype=dtype)
    assert fill(p) is p
    values = p.data.astype(np.float64)
    # Six standard errors of 150000 draws; bfloat16 rounds each by up to 2^-9 of itself.
    assert abs(values.mean() - mean) < 6 * std / math.sqrt(values.size) + 1e-4
    assert abs(values.std() / std - 1) < 6 / math.sqrt(values.size)
    if bound is not None:
        assert bound[0] <= values.min() < bound[0] + 0.02
        assert bound[1] - 0.02 < values.max() <= bound[1]
    pyllm.seed(1)
    np.testing.assert_array_equal(fill(parameter(dtype=dtype)).data, p.data)


def test_fans():
    assert init.fans(parameter((3, 4))) == (4, 3)
    assert init.fans(parameter((3, 4, 5))) == (20, 15)


def test_layers_start_ready_to_learn():
    pyllm.seed(2)
    layer, table = Linear(400, 300), Embedding(200, 100)
    for p in layer.parameters():
        assert 0.045 < np.abs(p.data).max() <= 0.05
    assert abs(table.weight.data.std() - 1) < 0.05
    with init.skip_init():
        assert not Linear(3, 4).weight.data.any()
    assert Linear(3, 4).weight.data.any()


def test_gpt2():
    net = Sequential(Linear(400, 300), LayerNorm(300))
    net.down = Linear(300, 400)
    net.norm = LayerNorm(400)
    init.gpt2_(net, 8)
    first, down = getattr(net, "0").weight.data, net.down.weight.data
    assert abs(first.std() / 0.02 - 1) < 0.02
    assert abs(down.std() * 4 / 0.02 - 1) < 0.02
    assert not net.down.bias.data.any()
    assert (net.norm.weight.data == 1).all()


def test_errors():
    with pytest.raises(ValueError, match=r"tensor: expected two axes or more, got shape \(3,\)"):
        init.xavier_uniform_(parameter((3,)))
    with pytest.raises(ValueError, match="std: expected 0 or more, got -1"):
        init.normal_(parameter(), std=-1)
    with pytest.raises(ValueError, match="low: expected less than high"):
        init.trunc_normal_(parameter(), low=1, high=1)
    with pytest.raises(ValueError, match="less than 1 in 10000"):
        init.trunc_normal_(parameter(), low=5, high=6)
    with pytest.raises(ValueError, match=r"nonlinearity: expected one of linear, .*, got 'cube'"):
        init.kaiming_normal_(parameter(), "cube")
    with pytest.raises(ValueError, match="mode: expected fan_in or fan_out, got 'fan'"):
        init.kaiming_normal_(parameter(), mode="fan")
