"""GPT-2: embeddings, pre-norm blocks, a final norm, and the embedding again as output layer.

    x = wte[ids] + wpe[positions]
    for each block:   x = x + attention(norm1(x));  x = x + mlp(norm2(x))
    logits = norm(x) wte^T

The residual stream is kept as (x, delta), the sum still to be taken: the norm that comes next adds
and normalises in one pass. Training never builds the logits of the batch: projection and loss are
one chunked op. Decoding appends to a key/value cache.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyllm import nn, ops
from pyllm.autograd import Tensor, no_grad
from pyllm.models.config import ACTIVATIONS, GPTConfig
from pyllm.models.pretrained import DTYPES, load_weights, save_weights
from pyllm.nn import functional as F

Cache = list[nn.KVCache]  # one a layer


class GPT(nn.Module):
    """A GPT-2 language model.

    Args:
        config: the shape.
        dtype: of the parameters, "float32" or "bfloat16".

    Raises:
        ValueError: another dtype.
    """

    def __init__(self, config: GPTConfig, *, dtype: str = "float32") -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f"dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")
        self.config = config
        with nn.init.skip_init():
            self.wte = nn.Embedding(config.vocab_size, config.n_embd)
            self.wpe = nn.Embedding(config.n_positions, config.n_embd)
            self.blocks = nn.ModuleList([_block(config) for _ in range(config.n_layer)])
            self.norm = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
            if not config.tie_word_embeddings:
                self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        nn.init.gpt2_(self, config.n_layer, std=config.initializer_range)
        self.to(DTYPES[dtype])

    def hidden(self, ids: npt.NDArray[np.integer]) -> Tensor:
        """Final states (batch, seq, n_embd) of ids (batch, seq).

        Raises:
            ValueError: ids of a wrong rank, or longer than the context.
        """
        ids = self._check(ids)
        return self._run(ids, np.arange(ids.shape[1], dtype=np.int32))

    def forward(self, ids: npt.NDArray[np.integer]) -> Tensor:
        """Logits (batch, seq, vocab_size) of ids (batch, seq); errors as `hidden`."""
        return F.linear(self.hidden(ids), self._output_weight)

    def loss(self, ids: npt.NDArray[np.integer], targets: npt.NDArray[np.integer]) -> Tensor:
        """Mean cross-entropy of the next tokens `targets` (batch, seq), -100 left out.

        Raises:
            ValueError: as `hidden`, or targets of another shape.
        """
        targets = np.asarray(targets)
        if targets.shape != np.shape(ids):
            raise ValueError(f"targets: expected shape {np.shape(ids)}, got {targets.shape}")
        hidden = self.hidden(ids).reshape(-1, self.config.n_embd)
        return F.linear_cross_entropy(hidden, self._output_weight, targets.reshape(-1))

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def max_length(self) -> int:
        """Tokens that the model can see at once."""
        return self.config.n_positions

    def new_cache(self, sequences: int, capacity: int) -> Cache:
        """An empty key/value cache for `next_logits`."""
        return [block.attention.new_cache(sequences, capacity) for block in self.blocks]

    def next_logits(
        self,
        ids: npt.NDArray[np.integer],
        cache: Cache,
        rows: list[int],
        *,
        restart: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Logits (rows, vocab) after ids (rows, seq), which join the cached sequences `rows`.

        On the CPU, where the next token is drawn, also of a model on a device.

        One token each, or the first tokens of sequences that are empty (or emptied by `restart`).

        Raises:
            ValueError: as `hidden`, or no room in the cache.
        """
        ids = self._check(ids)
        layers = [layer.select(rows) for layer in cache]
        if restart:
            for layer in layers:
                layer.reset()
        positions = layers[0].lengths[:, None] + np.arange(ids.shape[1], dtype=np.int32)
        with no_grad():
            last = self._run(ids, positions, layers).data[:, -1]
            logits: Any = ops.linear(last, self._output_weight.data)
            return Tensor(logits).numpy().astype(np.float32, copy=False)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write config.json and model.safetensors as `transformers` reads them."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.config.save(folder / "config.json")
        save_weights(self._arrays(), folder)

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, dtype: str = "float32", **changes: Any
    ) -> "GPT":
        """The model in a folder; `changes` replaces fields of its config (dropout, say).

        Raises:
            FileNotFoundError: no config.json or weights there.
            ValueError: they are damaged, do not fit each other, or are of another architecture.
        """
        folder = Path(folder)
        config = dataclasses.replace(GPTConfig.load(folder / "config.json"), **changes)
        model = cls(config, dtype=dtype)
        model.load_pretrained(folder)
        return model

    def load_pretrained(self, folder: Path | str) -> None:
        """Take over the weights in a folder; errors as `from_pretrained`."""
        load_weights(Path(folder), self._arrays())

    def _run(
        self,
        ids: npt.NDArray[np.integer],
        positions: npt.NDArray[Any],
        cache: Cache | None = None,
    ) -> Tensor:
        x = F.embedding_sum(ids, self.wte.weight, positions, self.wpe.weight)
        x = F.dropout(x, self.config.embd_pdrop if self.training else 0.0)
        delta = None
        for layer, block in enumerate(self.blocks):
            own = None if cache is None else nn.BlockCache(cache[layer])
            x, delta = block.stream(x, delta, cache=own)
        return self.norm(x, residual=delta)[0]

    @property
    def _output_weight(self) -> nn.Parameter:
        return self.wte.weight if self.config.tie_word_embeddings else self.head.weight

    def _arrays(self) -> dict[str, npt.NDArray]:
        return {name: parameter.data for name, parameter in self.named_parameters()}

    def _check(self, ids: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        ids = np.asarray(ids)
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError(f"ids: expected integers (batch, seq), got {ids.dtype} {ids.shape}")
        if ids.shape[1] > self.config.n_positions:
            raise ValueError(
                f"ids: {ids.shape[1]} tokens, but the context is {self.config.n_positions}"
            )
        return ids


def _block(config: GPTConfig) -> nn.TransformerBlock:
    return nn.TransformerBlock(
        config.n_embd,
        config.n_head,
        inner_size=config.inner,
        activation=ACTIVATIONS[config.activation_function],
        eps=config.layer_norm_epsilon,
        dropout=config.resid_pdrop,
        attention_dropout=config.attn_pdrop,
        causal=True,
        scale=None if config.scale_attn_weights else 1.0,
    )
