"""Attention through Triton's interpreter, forward and backward, against the float64 reference.

bfloat16 products are float32 products of the rounded values there (kernels/triton/storage.py).
"""

import numpy as np
import pytest
import torch

from pyllm import ops as torch_ops
from tests.ops import test_attention as conformance
from tests.triton.arrays import numpy_ops as ops


@pytest.fixture(autouse=True)
def served_by_triton(monkeypatch):
    monkeypatch.setattr(conformance, "ops", ops)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 1, 1, 1, 1, 1), {}),
        ((1, 131, 131, 2, 1, 64), {"causal": True}),
        ((2, 33, 97, 4, 2, 40), {"causal": True}),
        ((1, 97, 33, 2, 2, 7, 19), {"causal": True}),
        ((1, 150, 150, 1, 1, 8), {"window": (20, 9)}),
        ((1, 300, 300, 1, 1, 8), {"window": (70, None), "causal": True}),
        ((1, 20, 70, 1, 1, 200), {"scale": 0.2, "softcap": 3.0}),
    ],
)
def test_against_reference(dtype, shape, options, rng):
    conformance.check(*conformance.inputs(rng, *shape, dtype=dtype), **options)


@pytest.mark.parametrize("shape", [(2, 2, 35, 44), (1, 35, 44), (2, 1, 1, 44), (35, 1), (1, 1)])
def test_bias_and_its_gradient(dtype, shape, rng):
    arrays = conformance.inputs(rng, 2, 35, 44, 2, 1, 16, dtype=dtype)
    conformance.check(*arrays, bias=rng.normal(size=shape).astype(dtype))


@pytest.mark.parametrize("keys", [44, 45], ids=["rows of blocks", "ragged rows"])
def test_all_options_at_once(keys, rng):
    mask = rng.random((2, keys)) < 0.8
    bias = rng.normal(size=(2, 1, 35, keys)).astype(np.float32)
    conformance.check(
        *conformance.inputs(rng, 2, 35, keys, 2, 1, 16),
        causal=True, window=(30, None), softcap=2.0, bias=bias, key_padding_mask=mask,
        alibi_slopes=np.array([0.1, 0.3], np.float32), dropout_p=0.3, seed=2**40 + 1, stream=2**33,
    )  # fmt: skip


@pytest.mark.parametrize("lengths", [([5, 0, 70, 1], [5, 3, 70, 0])])
def test_packed_sequences(lengths, rng):
    conformance.test_packed_sequences("interpreter", 1, lengths, rng)


def test_dropout_of_a_packed_batch_follows_the_documented_stream(rng):
    cu = torch.tensor([0, 3, 9], dtype=torch.int32)
    query, key = torch.from_numpy(rng.normal(size=(2, 9, 2, 8)).astype(np.float32))
    value = torch.eye(9)[:, None].expand(9, 2, 9)
    out = torch_ops.attention(query, key, value, cu_seqlens_q=cu, dropout_p=0.4, seed=11, stream=7)
    words = conformance.philox.words(11, 7, 2 * 9 * 9).reshape(2, 9, 9)
    visible = torch.block_diag(torch.ones(3, 3), torch.ones(6, 6)).numpy() > 0
    expected = (words >= int(0.4 * 2**32)) & visible
    np.testing.assert_array_equal(out.permute(1, 0, 2).numpy() != 0, expected)


def test_masks_and_special_values(dtype, rng):
    conformance.test_rows_without_keys_give_zeros("interpreter", dtype, rng)


def test_padding_special_values_and_dropout_stream(rng):
    conformance.test_what_lies_in_padding_does_not_matter("interpreter", rng)
    conformance.test_special_values(rng)
    conformance.test_dropout_follows_the_documented_stream("interpreter", rng)


def test_slices_of_packed_buffers(rng):
    packed = torch.from_numpy(rng.normal(size=(2, 40, 8, 8)).astype(np.float32))
    query, key, value = packed.split((4, 2, 2), 2)
    expected, lse = torch_ops.attention(query, key, value, causal=True, return_lse=True)
    wide = torch.zeros(2, 40, 4, 16)
    torch_ops.attention(query, key, value, causal=True, out=wide[..., 8:])
    assert torch.equal(wide[..., 8:], expected)
    assert not wide[..., :8].any()
    gradients = torch.zeros_like(packed)
    halves = dict(zip(("dq_out", "dk_out", "dv_out"), gradients.split((4, 2, 2), 2), strict=True))
    inputs = (expected, query, key, value, expected, lse)
    torch_ops.attention_backward(*inputs, causal=True, **halves)
    fresh = torch_ops.attention_backward(*inputs, causal=True)
    assert torch.equal(gradients, torch.cat(fresh[:3], 2))
    turned = query.transpose(2, 3).contiguous().transpose(2, 3)  # the last axis is not contiguous
    assert torch.equal(torch_ops.attention(turned, key, value, causal=True), expected)


Q, KV = torch.ones(2, 5, 4, 8), torch.ones(2, 7, 2, 8)
LSE, TOKENS = torch.ones(2, 4, 5), torch.ones(6, 2, 8)


def forward(query=Q, key=KV, value=KV, **options):
    return lambda: torch_ops.attention(query, key, value, **options)


def packed(offsets, **options):
    return forward(TOKENS, TOKENS, TOKENS, cu_seqlens_q=torch.tensor(offsets), **options)


def backward(grad=Q, lse=LSE, **options):
    return lambda: torch_ops.attention_backward(grad, Q, KV, KV, Q, lse, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (forward(Q[0]), ValueError, "query: expected 4 axes"),
        (forward(key=KV.half()), TypeError, "key: expected the dtype of query"),
        (forward(key=KV[:1]), ValueError, "key: expected the batch size"),
        (forward(key=KV[..., :4]), ValueError, "key: expected the head_dim"),
        (forward(key=torch.ones(2, 7, 3, 8)), ValueError, "key: .* divides"),
        (forward(value=KV[:, :6]), ValueError, "value: expected the shape of key"),
        (forward(*torch.ones(3, 1, 2, 1, 300)), ValueError, "takes head_dim up to 256, got 300"),
        (forward(scale=float("nan")), ValueError, "scale: expected a finite"),
        (forward(scale="big"), TypeError, "scale: expected a number"),
        (forward(softcap=0), ValueError, "softcap: expected a positive"),
        (forward(dropout_p=1.0), ValueError, "dropout_p: expected"),
        (forward(window=3), TypeError, "window: expected"),
        (forward(window=(1, 2, 3)), ValueError, "window: expected two"),
        (forward(window=(-2, 0)), ValueError, "window: expected sides"),
        (forward(window=(2**70, 0)), ValueError, "window: a side is out of range"),
        (forward(window=(0.5, 0)), TypeError, "window: expected"),
        (forward(bias=torch.ones(3, 7)), ValueError, "bias: shape .* broadcast"),
        (forward(bias=torch.ones(5, 7) > 0), TypeError, "bias: expected dtype float32"),
        (forward(key_padding_mask=Q[..., 0, 0] > 0), ValueError, "key_padding_mask: expected sh"),
        (forward(alibi_slopes=torch.ones(3)), ValueError, "alibi_slopes: shape"),
        (forward(out=torch.ones(2, 4, 5, 8)), ValueError, "out: expected shape"),
        (forward(out=Q), ValueError, "out: overlaps the memory of query"),
        (forward(cu_seqlens_k=torch.tensor([0, 7])), ValueError, "cu_seqlens_k: expected None"),
        (packed([1, 6]), ValueError, "cu_seqlens_q: expected offsets"),
        (packed([0, 4, 2, 6]), ValueError, "cu_seqlens_q: expected offsets"),
        (packed([0.0, 6.0]), TypeError, "cu_seqlens_q: expected dtype int32"),
        (packed([0, 2, 6], cu_seqlens_k=torch.tensor([0, 6])), ValueError, "cu_seqlens_k: expec"),
        (backward(grad=Q[:1]), ValueError, "grad: expected shape"),
        (backward(lse=LSE[:, :2]), ValueError, "lse: expected shape"),
        (backward(need_dbias=True), ValueError, "need_dbias: expected a bias"),
        (backward(dk_out=Q), ValueError, "dk_out: expected shape"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
