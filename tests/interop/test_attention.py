import numpy as np
import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

from pyllm import ops  # noqa: E402

# Both round in float32; scores here are of order 1 and sums at most 90 long.
CLOSE = {"rtol": 2e-5, "atol": 2e-5}


def tensors(batch, tq, tk, heads, kv_heads, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, tq, heads, dim), (batch, tk, kv_heads, dim), (batch, tk, kv_heads, dim)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
@pytest.mark.parametrize("masking", ["none", "causal", "bias", "padding"])
def test_against_torch(kv_heads, masking):
    query, key, value = (x.requires_grad_() for x in tensors(2, 90, 90, 6, kv_heads, 32))
    generator = torch.Generator().manual_seed(1)
    bias = torch.randn((1, 6, 90, 90), generator=generator, requires_grad=True)
    padding = torch.rand((2, 90), generator=generator) < 0.8
    ours, theirs = {
        "none": ({}, {}),
        "causal": ({"causal": True}, {"is_causal": True}),
        "bias": ({"bias": bias.detach()}, {"attn_mask": bias}),
        "padding": ({"key_padding_mask": padding}, {"attn_mask": padding[:, None, None]}),
    }[masking]
    expected = F.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in (query, key, value)), enable_gqa=True, **theirs
    ).transpose(1, 2)
    grad = torch.randn(expected.shape, generator=generator)
    expected.backward(grad)
    plain = [x.detach() for x in (query, key, value)]
    out, lse = ops.attention(*plain, return_lse=True, **ours)
    assert isinstance(out, torch.Tensor)
    torch.testing.assert_close(out, expected.detach(), **CLOSE)
    gradients = ops.attention_backward(grad, *plain, out, lse, need_dbias=masking == "bias", **ours)
    for got, leaf in zip(gradients, (query, key, value, bias), strict=True):
        if got is not None:
            torch.testing.assert_close(got, leaf.grad, **CLOSE)


def test_bfloat16_tensors():
    query, key, value = (x.to(torch.bfloat16) for x in tensors(1, 40, 40, 2, 2, 16))
    out = ops.attention(query, key, value, causal=True)
    assert out.dtype == torch.bfloat16
    expected = F.scaled_dot_product_attention(
        *(x.float().transpose(1, 2) for x in (query, key, value)), is_causal=True
    ).transpose(1, 2)
    torch.testing.assert_close(out.float(), expected, rtol=2**-8, atol=2e-5)


def test_decode_against_torch():
    query, key, value = tensors(3, 1, 90, 6, 2, 32)
    lengths = np.array([90, 41, 1])
    out = ops.attention_decode(query, key, value, torch.from_numpy(lengths))
    for b, length in enumerate(lengths):
        expected = F.scaled_dot_product_attention(
            query[b].transpose(0, 1),
            key[b, :length].transpose(0, 1),
            value[b, :length].transpose(0, 1),
            enable_gqa=True,
        ).transpose(0, 1)
        torch.testing.assert_close(out[b], expected, **CLOSE)
