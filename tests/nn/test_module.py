"""Modules: names, modes, dtypes, flat buffers."""

import ml_dtypes
import numpy as np
import pytest

from pyllm import memory
from pyllm.autograd import Tensor
from pyllm.nn import (
    Dropout,
    Embedding,
    FlatParameters,
    LayerNorm,
    Linear,
    Module,
    ModuleList,
    Sequential,
)


class Net(Module):
    def __init__(self):
        self.table = Embedding(5, 3)
        self.layers = ModuleList([Linear(3, 3), Linear(3, 2, bias=False)])
        self.norm = LayerNorm(2)

    def forward(self, ids):
        x = self.table(ids)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def test_parameters_are_named_by_their_place():
    names = [name for name, _ in Net().named_parameters()]
    assert names == [
        "table.weight", "layers.0.weight", "layers.0.bias", "layers.1.weight",
        "norm.weight", "norm.bias",
    ]  # fmt: skip


def test_modes_reach_every_module():
    net = Net()
    assert not any(module.training for module in net.eval().modules())
    assert all(module.training for module in net.train().modules())


def test_dtype_reaches_every_parameter():
    net = Net()
    net.norm.bias.requires_grad = False
    assert net.to(ml_dtypes.bfloat16) is net
    assert {parameter.dtype.name for parameter in net.parameters()} == {"bfloat16"}
    net.to(np.float64)
    assert {parameter.dtype.name for parameter in net.parameters()} == {"float64"}
    assert not net.norm.bias.requires_grad
    with pytest.raises(TypeError, match="dtype: expected a floating dtype, got int32"):
        net.to(np.int32)
    FlatParameters(net.parameters())
    with pytest.raises(RuntimeError, match="to: convert the module before"):
        net.to(np.float32)


def test_shared_parameters_count_once():
    net = Net()
    net.again = Linear(3, 5)
    net.again.weight = net.table.weight
    assert len(net.parameters()) == len(list(net.named_parameters())) - 1
    assert net.num_parameters() == sum(p.size for p in net.parameters())
    assert {"table.weight", "again.weight"} <= net.state_dict().keys()


def test_frozen_modules_get_no_gradient(rng):
    net = Net()
    net.layers.requires_grad_(False)
    net(rng.integers(0, 5, (2, 4))).sum().backward()
    assert all(p.grad is None for p in net.layers.parameters())
    assert net.table.weight.grad is not None
    assert all(p.requires_grad for p in net.requires_grad_().parameters())


def test_sequential_and_named_modules(rng):
    net = Sequential(Linear(3, 4), LayerNorm(4, bias=False), Linear(4, 2))
    x = Tensor(rng.normal(size=(5, 3)).astype(np.float32))
    expected = x
    for number in ("0", "1", "2"):
        expected = getattr(net, number)(expected)
    np.testing.assert_array_equal(net(x).data, expected.data)
    assert [name for name, _ in net.named_modules("net")] == ["net", "net.0", "net.1", "net.2"]
    assert "1.bias" not in net.state_dict()


def test_the_row_of_padding_stays_zero():
    table = Embedding(5, 3, padding_idx=1)
    table(np.array([1, 2])).backward(np.ones((2, 3)))
    assert not table.weight.data[1].any()
    assert not table.weight.grad.data[1].any()
    with pytest.raises(ValueError, match="padding_idx: expected 0 to 4, got 5"):
        Embedding(5, 3, padding_idx=5)


def test_flat_buffers_are_the_parameters_and_their_gradients(rng):
    net = Net()
    for parameter in net.parameters():
        parameter.data[...] = rng.normal(size=parameter.shape)
    ids = rng.integers(0, 5, (2, 4))
    seed = rng.normal(size=(2, 4, 2)).astype(np.float32)
    before = net(ids).data.copy()
    net(ids).backward(seed)
    expected = np.concatenate([p.grad.data.ravel() for p in net.parameters()])
    net.zero_grad()
    flat = FlatParameters(net.parameters())
    np.testing.assert_array_equal(net(ids).data, before)
    net(ids).backward(seed)
    np.testing.assert_allclose(flat.grad, expected, rtol=1e-6, atol=1e-7)
    flat.data[:] = 0
    assert not any(parameter.data.any() for parameter in net.parameters())


def test_gradient_by_differences(rng):
    """The whole net in float64, against central differences."""
    net = Net().to(np.float64)
    for parameter in net.parameters():
        parameter.data[...] = rng.normal(size=parameter.shape)
    ids, seed = rng.integers(0, 5, (2, 3)), rng.normal(size=(2, 3, 2))
    net(ids).backward(seed)
    step = 1e-6
    for name, parameter in net.named_parameters():
        for index in np.ndindex(parameter.shape):
            value = parameter.data[index]
            sides = []
            for shift in (step, -step):
                parameter.data[index] = value + shift
                sides.append((net(ids).data * seed).sum())
            parameter.data[index] = value
            slope = (sides[0] - sides[1]) / (2 * step)
            assert parameter.grad.data[index] == pytest.approx(slope, rel=1e-5, abs=1e-6), name


def test_a_module_without_forward_says_so():
    with pytest.raises(NotImplementedError, match="Module has no forward"):
        Module()(1)


def test_empty_like_comes_from_the_allocator():
    before = memory.stats()["in_use"]
    array = memory.empty_like(np.ones(1, ml_dtypes.bfloat16), (3, 0, 2))
    assert array.shape == (3, 0, 2)
    assert array.dtype == ml_dtypes.bfloat16
    large = memory.empty_like(np.ones(1), (1000, 100))
    assert memory.stats()["in_use"] - before >= large.nbytes
    with pytest.raises(ValueError, match="no negative size"):
        memory.empty_like(large, (-1,))
    assert isinstance(Tensor(large).data, np.ndarray)


def test_state_goes_from_one_module_to_another():
    source, target = Net(), Net()
    for number, parameter in enumerate(source.parameters()):
        parameter.data[...] = number + 1
    target.load_state_dict({name: a.astype(np.float64) for name, a in source.state_dict().items()})
    for name, array in source.state_dict().items():
        np.testing.assert_array_equal(target.state_dict()[name], array)
        assert target.state_dict()[name].dtype == np.float32
        assert not np.shares_memory(target.state_dict()[name], array)


def test_state_that_does_not_fit_changes_nothing():
    net = Net()
    state = {name: array + 1 for name, array in net.state_dict().items()}
    before = net.layers[0].weight.data.copy()
    state["norm.bias"] = np.zeros(7)
    state["other"] = state.pop("table.weight")
    with pytest.raises(ValueError, match=r"missing: table.weight; unexpected: other; norm.bias: "):
        net.load_state_dict(state)
    np.testing.assert_array_equal(net.layers[0].weight.data, before)
    del state["norm.bias"]
    net.load_state_dict(state, strict=False)
    np.testing.assert_array_equal(net.layers[0].weight.data, before + 1)


def test_dropout_rests_in_evaluation():
    layer, x = Dropout(0.5), Tensor(np.ones((50, 50), np.float32))
    assert 0.3 < (layer(x).data == 0).mean() < 0.7
    np.testing.assert_array_equal(layer.eval()(x).data, x.data)
    with pytest.raises(ValueError, match="p: expected a probability"):
        Dropout(1.0)
