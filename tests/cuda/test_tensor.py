"""Tensors, the tape, modules and optimizers on a device: equal to the CPU, nothing left behind."""

import numpy as np
import pytest

import pyllm
from pyllm import Tensor, cuda, nn, optim
from pyllm.autograd import concat, maximum, minimum, split, where
from pyllm.models import GPT, GPTConfig
from pyllm.nn import functional as F
from tests.cuda.emulator.module import Runtime

CLOSE = {"rtol": 2e-5, "atol": 2e-6}


pytestmark = pytest.mark.usefixtures("emulated_device")


def both(function, *arrays):
    """The result and gradients of `function` on the CPU and on the device, compared."""
    made = []
    for device in ("cpu", "cuda"):
        leaves = [Tensor(x, requires_grad=True) for x in arrays]
        y = function(*(leaf.to(device) for leaf in leaves))
        assert y.device == ("cpu" if device == "cpu" else "cuda:0")
        (y * y).sum().backward()
        made.append([y.numpy(), *(leaf.grad.numpy() for leaf in leaves)])
    for cpu, device in zip(*made, strict=True):
        np.testing.assert_allclose(device, cpu, **CLOSE)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: a + 2 * b,
        lambda a, b: a - b / (b * b + 1),
        lambda a, b: -a * b.exp(),
        lambda a, b: (a * a + 0.5).log() + (b * b + 0.5).sqrt(),
        lambda a, b: a.tanh() * b.sigmoid(),
        lambda a, b: a.sin() + b.cos() + a.abs(),
        lambda a, b: (a * a + 1) ** 1.5 + b,
        lambda a, b: a**2 + b**3,
        lambda a, b: (a * a) ** b + 2.0**a + where(b > 0, b, 0.0) ** 1.0,
        lambda a, b: maximum(a, b) + minimum(a, 2 * b),
        lambda a, b: (a @ b.reshape(4, 1)) * a.T.reshape(3, 4).sum(axis=0),
        lambda a, b: a[1:, ::2] * b[:2] + a[0, -1],
        lambda a, b: a.transpose(0, 1).mean(axis=1) * b,
        lambda a, b: a.var(axis=1) + a.max(axis=1) - a.min(axis=0)[1] * b[0],
        lambda a, b: a.expand(2, 3, 4).permute(2, 0, 1).sum(axis=(0, 2)) * b.sum(),
        lambda a, b: concat([a, 2 * a[:1]]) + split(b, [1, 3])[1].sum(),
        lambda a, b: a.unsqueeze(1).squeeze(1) - b.flatten(),
        lambda a, b: where(a > 0, a * b, b),
        lambda a, b: where(np.eye(3, 4) > 0, a, 2.0) + where(b < 0, 1.0, b),
        lambda a, b: a.clip(-0.5, 0.5) * b.clip(low=0.1),
    ],
)
def test_operators_and_their_gradients(rng, function):
    both(function, rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=4).astype("f"))


def test_there_and_back(rng):
    x = rng.normal(size=(2, 3)).astype(np.float32)
    there = Tensor(x).cuda()
    assert there.to("cuda:0") is there
    assert there.device == "cuda:0"
    assert "cuda:0" in repr(there)
    np.testing.assert_array_equal(there.cpu().data, x)
    np.testing.assert_array_equal(np.asarray(there), x)
    np.testing.assert_array_equal((there > 0).numpy(), x > 0)
    np.testing.assert_array_equal(there.astype(np.float16).numpy(), x.astype(np.float16))
    assert there[1, 2].item() == x[1, 2]
    assert there.data.__dlpack_device__() == (2, 0)


def test_places_of_extrema(rng):
    x = rng.normal(size=(2, 3, 40)).astype(np.float32)
    x[0, 1, 30] = x[1, :, 3] = np.nan
    x[0, 0, [5, 9]] = 100
    there = Tensor(x).cuda()
    for axis in (None, 0, 1, -1):
        for keepdims in (False, True):
            for of in ("argmax", "argmin"):
                place = getattr(there, of)(axis, keepdims)
                expected = getattr(Tensor(x), of)(axis, keepdims)
                assert (place.dtype, place.device) == (np.int64, "cuda:0")
                np.testing.assert_array_equal(place.numpy(), expected.data)
    np.testing.assert_array_equal(there.isnan().numpy(), np.isnan(x))


def test_integers_and_booleans_are_compared_and_counted(rng):
    logits, targets = rng.normal(size=(64, 5)).astype(np.float32), rng.integers(0, 5, 64)
    right = Tensor(logits).cuda().argmax(axis=-1) == Tensor(targets).cuda()
    np.testing.assert_array_equal(right.numpy(), logits.argmax(-1) == targets)
    assert right.mean().item() == np.float32((logits.argmax(-1) == targets).mean())
    large = Tensor(np.array([2**53 + 1, -1, 2**53])).cuda()
    for kind in (np.int64, np.int32, bool):
        x = large.astype(kind) if kind is not np.int64 else large
        for name in ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"):
            compared = getattr(x, name)(Tensor(x.numpy()[::-1].copy()).cuda())
            expected = getattr(x.numpy(), name)(x.numpy()[::-1])
            np.testing.assert_array_equal(compared.numpy(), expected)


def test_logic_of_booleans():
    x, y = np.array([[False], [True]]), np.array([False, True])
    there, other = cuda.to_device(x), cuda.to_device(y)
    for name in ("__and__", "__or__", "__xor__"):
        np.testing.assert_array_equal(getattr(there, name)(other).numpy(), getattr(x, name)(y))
        np.testing.assert_array_equal(getattr(there, name)(True).numpy(), getattr(x, name)(True))
    np.testing.assert_array_equal((~there).numpy(), ~x)
    np.testing.assert_array_equal((np.bool_(True) & there).numpy(), x)
    for numbers in (cuda.to_device(np.ones(2, np.float32)), np.array([1, 2]), 2):
        with pytest.raises(TypeError, match="bitwise_and has no CUDA kernel"):
            there & numbers


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, w, t: F.cross_entropy(x @ w.T, t, weight=np.array([1, 3, 2], np.float32)),
        lambda x, w, t: F.linear_cross_entropy(x, w, t, class_weight=np.ones(3, np.float32) / 2),
        lambda x, w, t: F.softmax(x, mask=np.arange(5) < 3)[:, 1].sum() + w.sum(),
        lambda x, w, t: -F.log_softmax(x @ w.T)[np.arange(4), t].mean(),
    ],
)
def test_what_may_stay_on_the_cpu(rng, loss):
    """Targets, masks and weights of classes are copied over."""
    target = rng.integers(0, 3, 4)
    arrays = [rng.normal(size=(n, 5)).astype(np.float32) for n in (4, 3)]
    both(lambda x, w: loss(x, w, target), *arrays)


def test_in_place():
    x = Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)).cuda()
    x += 1
    x[0] = 7
    x[:, 1] = np.array([5, 6], np.float32)
    np.testing.assert_array_equal(x.numpy(), [[7, 5, 7], [4, 6, 6]])


@pytest.mark.parametrize("optimizer", [optim.AdamW, optim.SGD])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_gpt_trains_as_on_the_cpu(optimizer, dropout):
    """Losses, gradients' norms and parameters of every step."""
    config = GPTConfig(
        vocab_size=19, n_positions=8, n_embd=16, n_layer=2, n_head=2, embd_pdrop=dropout,
        resid_pdrop=dropout, attn_pdrop=dropout,
    )  # fmt: skip
    runs = []
    for device in ("cpu", "cuda"):
        pyllm.seed(3)
        model = GPT(config).to(device)
        steps = optimizer(model.parameters(), lr=1e-3, max_norm=1.0)
        rng = np.random.default_rng(0)
        run = []
        for _ in range(3):
            ids = rng.integers(0, 19, (2, 9)).astype(np.int32)
            steps.zero_grad()
            loss = model.loss(ids[:, :-1], ids[:, 1:])
            loss.backward()
            run.append((loss.item(), steps.step(), [p.numpy().copy() for p in model.parameters()]))
        runs.append(run)
        assert all(p.device.startswith(device) for p in model.parameters())
    for (loss, norm, parameters), (loss_there, norm_there, parameters_there) in zip(
        *runs, strict=True
    ):
        np.testing.assert_allclose(loss_there, loss, rtol=2e-6)
        np.testing.assert_allclose(norm_there, norm, rtol=2e-5)
        for mine, theirs in zip(parameters, parameters_there, strict=True):
            np.testing.assert_allclose(theirs, mine, rtol=0, atol=2e-5)


@pytest.mark.parametrize("state_bits", [8, 32])
@pytest.mark.parametrize("optimizer", [optim.Adam, optim.SGD, optim.Lion, optim.Adafactor])
def test_optimizers_step_as_on_the_cpu(rng, optimizer, state_bits):
    options = {} if optimizer is optim.Adafactor else {"state_bits": state_bits}
    weight, x = rng.normal(size=(64, 64)).astype("f"), rng.normal(size=(3, 64)).astype("f")
    made = []
    for device in ("cpu", "cuda"):
        layer = nn.Linear(64, 64).to(device)
        layer.weight.data[...] = weight
        steps = optimizer(layer.parameters(), lr=1e-2, **options)
        for _ in range(2):
            steps.zero_grad()
            layer(Tensor(x).to(device)).sum().backward()
            steps.step()
        made.append(layer.weight.numpy())
    np.testing.assert_allclose(made[1], made[0], rtol=1e-5, atol=1e-6)


def test_a_step_takes_no_new_memory():
    model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1)).to("cuda")
    steps = optim.AdamW(model.parameters())
    x = Tensor(np.ones((3, 4), np.float32)).cuda()
    held = []
    for _ in range(4):
        steps.zero_grad()
        model(x).sum().backward()
        steps.step()
        held.append(cuda.memory_stats()["reserved"])
    assert held[1] == held[2] == held[3]


def test_state_moves_between_devices():
    one, two = nn.Linear(3, 2), nn.Linear(3, 2).to("cuda")
    two.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(two.weight.numpy(), one.weight.data)
    back = nn.Linear(3, 2)
    back.load_state_dict({k: v.numpy() for k, v in two.state_dict().items()})
    np.testing.assert_array_equal(back.weight.data, one.weight.data)
    np.testing.assert_array_equal(two.to("cpu").weight.data, one.weight.data)


def test_what_goes_wrong(monkeypatch):
    runtime = Runtime()
    x = Tensor(np.ones((2, 3), np.float32)).cuda()
    with pytest.raises(TypeError, match="another on the CPU"):
        x + Tensor(np.ones(3, np.float32))
    with pytest.raises(TypeError, match="one array is on a device, the other on the CPU"):
        concat([x, Tensor(np.ones((2, 3), np.float32))])
    with pytest.raises(TypeError, match="one array is on a device, the other on the CPU"):
        where(x > 0, x, np.ones((2, 3), np.float32))
    with pytest.raises(TypeError, match="condition: expected booleans, got float32"):
        where(x, x, x)
    with pytest.raises(ValueError, match="no elements along its last axis"):
        x[:, :0].argmax(axis=1)
    with pytest.raises(ValueError, match="device: expected 'cpu'"):
        x.to("tpu")
    with pytest.raises(ValueError, match="cannot reshape"):
        x.reshape(4, 2)
    with pytest.raises(IndexError, match="out of range"):
        x[2]
    with pytest.raises(TypeError, match="copies it to the CPU"):
        np.asarray(x.data)
    with pytest.raises(TypeError, match="computed with on the CPU only"):
        Tensor(np.ones(2)).cuda() + 1
    with pytest.raises(ValueError, match="CUDA device 1"):
        x + x.to("cpu").to("cuda:1")
    with pytest.raises(RuntimeError):
        Tensor(np.ones(2, np.float32)).to("cuda:7")
    model = nn.Linear(3, 2)
    optim.SGD(model.parameters())
    with pytest.raises(RuntimeError, match="before making an optimizer"):
        model.to("cuda")
    runtime.set_memory_limit(runtime.in_use + 1000)
    try:
        with pytest.raises(MemoryError):
            nn.Linear(100, 100).to("cuda")
    finally:
        runtime.set_memory_limit(1 << 30)
    monkeypatch.setattr(cuda, "extension", lambda: None)
    with pytest.raises(RuntimeError, match="CUDA: built without CUDA"):
        Tensor(np.ones(2, np.float32)).cuda()
