"""Every node's gradient against differences in float64; strided gradients; saved values."""

import ml_dtypes
import numpy as np
import pytest

import pyllm
from pyllm.autograd import Tensor
from pyllm.nn import Parameter
from pyllm.nn import functional as F
from pyllm.nn.functional.attention import Rotation
from pyllm.ops import rotary_cache
from pyllm.optim import SGD
from tests.autograd.differences import check_gradients

TARGETS = np.array([1, -100, 0, 4])
IDS = np.array([[0, 2, 2], [5, 0, 1]])
ROTATION = Rotation(*rotary_cache(8, 4, dtype=np.float64), np.array([3, 1, 0, 7]), True)
MASK = np.array([[1, 1, 1, 1], [0, 1, 1, 0]], bool)
SLOPES = np.array([0.5, 0.1, 0.0, 0.3], np.float32)
LOSS = {"ignore_index": -100, "label_smoothing": 0.1, "z_loss": 0.01, "weight": np.arange(1.0, 6)}
FUSED = {"class_weight": LOSS["weight"], **{k: v for k, v in LOSS.items() if k != "weight"}}


def seeded(function):
    """With the same random draws in every call."""

    def run(*tensors):
        pyllm.seed(5)
        return function(*tensors)

    return run


def everything(q, k, v, bias):
    return F.attention(
        q, k, v, bias=bias, causal=True, window=(3, 0), scale=0.3, key_padding_mask=MASK,
        alibi_slopes=SLOPES, softcap=5.0, dropout_p=0.25,
    )  # fmt: skip


def packed(**options):
    return seeded(lambda qkv: F.attention_packed(qkv, 4, 2, dropout_p=0.2, **options))


# name -> (function, shapes of its arguments)
NODES = {
    "relu": (F.relu, [(4, 5)]),
    "gelu": (F.gelu, [(4, 5)]),
    "gelu_tanh": (lambda x: F.gelu(x, "tanh"), [(4, 5)]),
    "silu": (F.silu, [(4, 5)]),
    "swiglu": (F.swiglu, [(4, 5), (4, 5)]),
    "geglu": (F.geglu, [(4, 5), (4, 5)]),
    "swiglu_packed": (F.swiglu_packed, [(4, 6)]),
    "geglu_packed": (lambda x: F.geglu_packed(x, "tanh"), [(2, 2, 6)]),
    "softmax": (lambda x: F.softmax(x, 0, temperature=0.7), [(4, 5)]),
    "softmax of some": (lambda x: F.softmax(x, mask=IDS[:1, :1] == TARGETS[:, None]), [(4, 5)]),
    "log_softmax": (lambda x: F.log_softmax(x, temperature=2.0), [(4, 5)]),
    "linear": (F.linear, [(2, 3, 4), (5, 4), (5,)]),
    "linear alone": (F.linear, [(3, 4), (5, 4)]),
    "linear gelu": (lambda x, w, b: F.linear(x, w, b, activation="gelu"), [(3, 4), (5, 4), (5,)]),
    "linear silu": (lambda x, w: F.linear(x, w, activation="silu"), [(3, 4), (5, 4)]),
    "layer_norm": (F.layer_norm, [(4, 5), (5,), (5,)]),
    "layer_norm plain": (F.layer_norm, [(4, 5)]),
    "layer_norm scale": (F.layer_norm, [(4, 5), (5,)]),
    "layer_norm sum": (
        lambda x, w, b, r: F.layer_norm(x, w, b, residual=r)[0] * F.layer_norm(x, residual=r)[1],
        [(4, 5), (5,), (5,), (4, 5)],
    ),
    "rms_norm": (F.rms_norm, [(4, 5), (5,)]),
    "rms_norm plain": (F.rms_norm, [(4, 5)]),
    "rms_norm sum": (lambda x, w, r: F.rms_norm(x, w, residual=r)[0], [(4, 5), (5,), (4, 5)]),
    "embedding": (lambda w: F.embedding(IDS, w), [(6, 2)]),
    "embedding_sum": (
        lambda w, p: F.embedding_sum(IDS, w, np.arange(3), p),
        [(6, 2), (4, 2)],
    ),
    "dropout": (seeded(lambda x: F.dropout(x, 0.4)), [(4, 5)]),
    "dropout sum": (seeded(lambda x, r: F.dropout(x, 0.4, residual=r)), [(4, 5), (4, 5)]),
    "rotary": (lambda x: F.rotary(x, *ROTATION[:2], positions=ROTATION[2]), [(2, 4, 3, 6)]),
    "rotary interleaved": (lambda x: F.rotary(x, *ROTATION[:2], interleaved=True), [(2, 4, 1, 4)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, TARGETS, **LOSS), [(4, 5)]),
    "cross_entropy sum": (lambda x: F.cross_entropy(x, TARGETS, reduction="sum"), [(4, 5)]),
    "cross_entropy none": (lambda x: F.cross_entropy(x, TARGETS, reduction="none"), [(4, 5)]),
    "linear_cross_entropy": (
        lambda h, w, b: F.linear_cross_entropy(h, w, TARGETS, bias=b, **FUSED) * 3,
        [(4, 3), (5, 3), (5,)],
    ),
    "linear_cross_entropy none": (
        lambda h, w: F.linear_cross_entropy(h, w, TARGETS, reduction="none"),
        [(4, 3), (5, 3)],
    ),
    "attention": (F.attention, [(2, 3, 2, 4), (2, 5, 2, 4), (2, 5, 2, 3)]),
    "attention with everything": (
        seeded(everything),
        [(2, 3, 4, 4), (2, 4, 2, 4), (2, 4, 2, 3), (1, 4, 3, 4)],
    ),
    "attention with shared bias": (
        lambda q, k, v, b: F.attention(q, k, v, bias=b),
        [(2, 3, 2, 4), (2, 5, 1, 4), (2, 5, 1, 4), (2, 1, 5)],
    ),
    "attention of a packed batch": (
        lambda q, k, v: F.attention(
            q, k, v, causal=True, cu_seqlens_q=np.array([0, 2, 5]), cu_seqlens_k=np.array([0, 3, 6])
        ),
        [(5, 2, 4), (6, 2, 4), (6, 2, 4)],
    ),
    "attention_packed": (packed(), [(2, 4, 16)]),
    "attention_packed rotated": (packed(rotation=ROTATION), [(2, 4, 32)]),
    "attention_packed with options": (
        packed(causal=False, key_padding_mask=MASK, alibi_slopes=SLOPES, window=(2, 2), scale=1.0),
        [(2, 4, 16)],
    ),
    "attention_packed with bias": (
        lambda qkv, b: F.attention_packed(qkv, 4, 2, bias=b, causal=False),
        [(2, 4, 16), (4, 4, 4)],
    ),
    "attention_packed of several lengths": (
        lambda qkv: F.attention_packed(qkv, 2, cu_seqlens=np.array([0, 2, 5])),
        [(5, 18)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_gradient_by_differences(name, rng):
    function, shapes = NODES[name]
    # ALiBi slopes and log-sum-exps of float64 inputs are float64: nothing is rounded to float32.
    check_gradients(function, *(rng.normal(size=shape) for shape in shapes), tolerance=1e-7)


@pytest.mark.parametrize("name", [n for n in NODES if "cross_entropy" not in n])
def test_gradients_may_be_strided(name, rng):
    """As they come out of transposes and slices."""
    function, shapes = NODES[name]
    arrays = [rng.normal(size=shape) for shape in shapes]
    results = []
    for strided in (False, True):
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        y = function(*leaves)
        grad = np.random.default_rng(3).normal(size=y.shape)
        if strided:
            grad = np.repeat(grad.swapaxes(0, -1), 2, 0)[::2].swapaxes(0, -1)
        y.backward(grad)
        results.append([leaf.grad.data for leaf in leaves])
    for plain, other in zip(*results, strict=True):
        np.testing.assert_allclose(other, plain, rtol=1e-12, atol=1e-12)


def test_ids_of_padding_get_no_gradient(rng):
    weight = Tensor(rng.normal(size=(6, 2)), requires_grad=True)
    F.embedding(IDS, weight, padding_idx=2).backward(np.ones((2, 3, 2)))
    np.testing.assert_array_equal(weight.grad.data[:, 0], [2, 1, 0, 0, 0, 1])


@pytest.mark.parametrize("buffer", [False, True])
def test_many_tokens_on_one_row_of_16_bits(buffer):
    """Adding ones in bfloat16 would stop at 256."""
    weight = Parameter(np.zeros((2, 3), ml_dtypes.bfloat16))
    if buffer:
        weight.set_grad_buffer(np.full((2, 3), 77, ml_dtypes.bfloat16))
    F.embedding(np.zeros(4096, np.int32), weight).backward(np.ones((4096, 3)))
    np.testing.assert_array_equal(weight.grad.data, [[4096] * 3, [0] * 3])


def test_frozen_parameters_get_no_gradient(rng):
    x = Tensor(rng.normal(size=(4, 3)), requires_grad=True)
    weight, bias = Parameter(rng.normal(size=(5, 3))), Parameter(np.zeros(5))
    weight.set_grad_buffer(np.zeros((5, 3)))
    weight.requires_grad = False
    F.linear(x, weight, bias, activation="gelu").sum().backward()
    assert weight.grad is None
    assert bias.grad is not None
    F.linear_cross_entropy(x, weight, TARGETS, bias=bias).backward()
    assert weight.grad is None


def test_weight_and_sum_of_rms_norm(rng):
    x, r, g, more = (rng.normal(size=(6, 5)) for _ in range(4))
    tx, tr = (Tensor(a, requires_grad=True) for a in (x, r))
    weight = Tensor(np.ones(5), requires_grad=True)
    y, s = F.rms_norm(tx, weight, residual=tr, eps=0.0)
    np.testing.assert_allclose(s.data, x + r)
    (y * 1.0 + s * 0.0).backward(g)
    xhat = s.data / np.sqrt((s.data**2).mean(-1, keepdims=True))
    np.testing.assert_allclose(weight.grad.data, (g * xhat).sum(0))
    np.testing.assert_array_equal(tx.grad.data, tr.grad.data)
    tx.zero_grad()
    F.rms_norm(tx, weight, residual=tr)[1].backward(more)
    np.testing.assert_array_equal(tx.grad.data, more)


@pytest.mark.parametrize(
    "name", ["gelu", "swiglu", "softmax", "linear", "layer_norm", "rms_norm", "cross_entropy",
             "attention", "attention_packed"]
)  # fmt: skip
def test_changes_of_what_a_node_saved_are_noticed(name, rng):
    function, shapes = NODES[name]
    leaves = [Tensor(rng.normal(size=shape), requires_grad=True) for shape in shapes]
    hidden = [leaf * 1 for leaf in leaves]
    y = function(*hidden)
    for t in hidden:
        t += 1
    if name == "softmax":
        y *= 2
    with pytest.raises(RuntimeError, match=f"that {name} saved has been changed|that attention"):
        y.sum().backward()


def test_an_optimizer_step_between_forward_and_backward_is_noticed(rng):
    weight = Parameter(rng.normal(size=(5, 3)).astype(np.float32))
    optimizer = SGD([weight], lr=0.1)
    x = Tensor(rng.normal(size=(4, 3)).astype(np.float32), requires_grad=True)
    loss = F.linear(x, weight).sum()
    optimizer.step()
    with pytest.raises(RuntimeError, match="linear saved has been changed in place"):
        loss.backward()


def test_errors(rng):
    with pytest.raises(ValueError, match="qkv: expected a width divisible by 8 heads, got 12"):
        F.attention_packed(Tensor(np.ones((1, 2, 12))), 4, 2)
