"""What a training step keeps between forward and backward, counted by the allocator."""

import numpy as np

from pyllm import memory
from pyllm.models import GPT, GPTConfig

BATCH, LENGTH, WIDTH = 8, 128, 256
ARRAY = BATCH * LENGTH * WIDTH * 4  # one array of the width of the residual stream


def step_memory(layers: int) -> tuple[float, float]:
    """In arrays: what is alive when the loss is there, and the most of forward and backward."""
    config = GPTConfig(
        vocab_size=65, n_positions=LENGTH, n_embd=WIDTH, n_layer=layers, n_head=2,
        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
    )  # fmt: skip
    model = GPT(config)
    ids, targets = np.random.default_rng(0).integers(0, 65, (2, BATCH, LENGTH))
    model.loss(ids, targets).backward()  # gradients are there from now on
    model.zero_grad()
    before = memory.stats()["in_use"]
    memory.reset_peak()
    loss = model.loss(ids, targets)
    alive = memory.stats()["in_use"] - before
    loss.backward()
    return alive / ARRAY, (memory.stats()["peak_in_use"] - before) / ARRAY


def test_a_block_keeps_ten_arrays():
    """The residual stream twice, queries, keys and values, attention's output, and four for the
    preactivation of the MLP; norms and activations are computed again. The statistics of norms and
    attention are a few numbers a row."""
    (few, _), (many, _) = step_memory(2), step_memory(5)
    assert 10 <= (many - few) / 3 <= 10.3


def test_backward_needs_no_more_than_the_end_of_the_forward():
    """The highest point is the MLP of the last block: its output, and the activation before it."""
    alive, peak = step_memory(3)
    assert peak - alive <= 7
