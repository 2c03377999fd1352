"""A training step against torch eager: forward, loss, backward, clipping to norm 1, AdamW.

The torch side is what its users write: scaled_dot_product_attention, tanh GELU, a tied head,
cross_entropy on the logits, clip_grad_norm_, AdamW(fused=True). Same shapes, no dropout, float32.
flops: six per matrix-product parameter and token, and twelve per causal score and head feature.

Each side builds its model at its first call, so that the memory shown is all of it: parameters,
gradients, moments and activations. With 8-bit states ours keeps the moments in blocks of bytes,
torch its own in float32: the row that shows what the memory of a step can come down to.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pyllm.bench import Case, cases
from pyllm.models import GPT, GPTConfig
from pyllm.train import TrainConfig
from pyllm.train.optimizer import make_optimizer

# Layers and heads, width, batch, length, vocabulary.
GEOMETRIES = {
    "6/6/384 B12 T256 V65": (6, 384, 12, 256, 65),
    "GPT-2 small 12/12/768 B4 T256": (12, 768, 4, 256, 50257),
}


class Block(nn.Module):
    """A GPT-2 block in torch."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        packed = self.qkv(self.ln1(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(batch, length, width))
        return x + self.out(F.gelu(self.fc(self.ln2(x)), approximate="tanh"))


class TorchGPT(nn.Module):
    """GPT-2 in torch."""

    def __init__(self, layers: int, width: int, length: int, vocab: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(length, width)
        self.h = nn.ModuleList(Block(width, layers) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, 0, 0.02)

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        logits = self.ln_f(x) @ self.wte.weight.T
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def torch_step(layers: int, width: int, ids: Any, targets: Any, vocab: int) -> Callable[[], Any]:
    torch.manual_seed(0)
    model = TorchGPT(layers, width, ids.shape[1], vocab)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), fused=True)
    i, t = torch.from_numpy(ids), torch.from_numpy(targets)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(i, t).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def our_step(
    layers: int, width: int, ids: Any, targets: Any, vocab: int, state_bits: int
) -> Callable[[], Any]:
    config = GPTConfig(
        vocab_size=vocab,
        n_positions=ids.shape[1],
        n_embd=width,
        n_layer=layers,
        n_head=layers,
        resid_pdrop=0,
        embd_pdrop=0,
        attn_pdrop=0,
    )
    model = GPT(config)
    settings = TrainConfig(learning_rate=3e-4, beta2=0.95, clip=1.0, state_bits=state_bits)
    optimizer = make_optimizer(model, settings)

    def step() -> None:
        optimizer.zero_grad()
        model.loss(ids, targets).backward()
        optimizer.step()

    return step


def sides(
    layers: int, width: int, batch: int, length: int, vocab: int, state_bits: int = 32
) -> dict:
    ids, targets = np.random.default_rng(0).integers(0, vocab, (2, batch, length))
    shape = (layers, width, ids, targets, vocab)
    ours = cache(lambda: our_step(*shape, state_bits))
    theirs = cache(lambda: torch_step(*shape))
    return {"pyllm": lambda: ours()(), "torch": lambda: theirs()()}


def flops(layers: int, width: int, batch: int, length: int, vocab: int) -> float:
    products = 12 * layers * width * width + vocab * width
    scores = 12 * layers * width * length / 2
    return batch * length * (6 * products + scores)


@cases("train")
def training_step() -> Iterator[Case]:
    for name, shape in GEOMETRIES.items():
        for bits, note in ((32, ""), (8, ", 8-bit states")):
            yield Case(
                f"training step {name}{note}",
                lambda shape=shape, bits=bits: sides(*shape, bits),
                flops=flops(*shape),
                repeats=7,
                memory=True,
            )
