"""GPT-2: embeddings, pre-norm blocks, a final norm, and the embedding again as output layer.

    x = wte[ids] + wpe[positions]
    for each block:   x = x + attention(norm1(x));  x = x + mlp(norm2(x))
    logits = norm(x) wte^T

The residual stream is kept as (x, delta), the sum still to be taken: the norm that comes next adds
and normalises in one pass. Training never builds the logits of the batch: projection and loss are
one chunked op. Decoding appends to a key/value cache.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pyllm import nn, ops, random
from pyllm.autograd import Tensor, no_grad
from pyllm.models.cache import Cache
from pyllm.models.config import ACTIVATIONS, GPTConfig
from pyllm.models.pretrained import DTYPES, load_weights, save_weights
from pyllm.nn import functional as F

Attend = Callable[[Tensor], Tensor]  # packed query, key, value (batch, seq, 3 * width) -> y


class Attention(nn.Module):
    """The two projections around attention; query, key and value are one product."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.qkv = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.out = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        return self.out(attend(self.qkv(x)))


class MLP(nn.Module):
    """down(activation(up(x)))."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.n_embd, config.inner)
        self.down = nn.Linear(config.inner, config.n_embd)
        self.activation = ACTIVATIONS[config.activation_function]

    def forward(self, x: Tensor) -> Tensor:
        up = F.linear(x, self.up.weight, self.up.bias, activation=self.activation)
        return self.down(up)


class Block(nn.Module):
    """One layer; takes and gives the residual stream as (x, delta)."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.attention = Attention(config)
        self.norm2 = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.mlp = MLP(config)
        self.dropout = config.resid_pdrop

    def forward(self, x: Tensor, delta: Tensor | None, attend: Attend) -> tuple[Tensor, Tensor]:
        if delta is None:
            normed = self.norm1(x)
        else:
            normed, x = self.norm1(x, residual=delta)
        p = self.dropout if self.training else 0.0
        attended = F.dropout(self.attention(normed, attend), p)
        normed, x = self.norm2(x, residual=attended)
        return x, F.dropout(self.mlp(normed), p)


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
            self.blocks = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
            self.norm = nn.LayerNorm(config.n_embd, config.layer_norm_epsilon)
            if not config.tie_word_embeddings:
                self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self._initialize()
        self.to(DTYPES[dtype])

    def hidden(self, ids: npt.NDArray[np.integer], attend: Attend | None = None) -> Tensor:
        """Final states (batch, seq, n_embd) of ids (batch, seq).

        Raises:
            ValueError: ids of a wrong rank, or longer than the context.
        """
        ids = self._check(ids)
        return self._run(ids, np.arange(ids.shape[1], dtype=np.int32), attend or self._attend)

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

    def num_parameters(self) -> int:
        return sum(p.data.size for p in self.parameters())

    def new_cache(self, sequences: int, capacity: int) -> Cache:
        """An empty key/value cache for `next_logits`."""
        c = self.config
        return Cache(
            c.n_layer, sequences, capacity, c.n_head, c.head_dim, self.wte.weight.data.dtype
        )

    def next_logits(
        self,
        ids: npt.NDArray[np.integer],
        cache: Cache,
        rows: list[int],
        *,
        restart: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Logits (rows, vocab) after ids (rows, seq), which join the cached sequences `rows`.

        One token each, or the first tokens of sequences that are empty (or emptied by `restart`).

        Raises:
            ValueError: as `hidden`, or no room in the cache.
        """
        ids = self._check(ids)
        if restart:
            cache.lengths[rows] = 0
        before, new = cache.lengths[rows], ids.shape[1]
        if before.max(initial=0) + new > cache.capacity:
            raise ValueError(f"cache: room for {cache.capacity} tokens, asked for more")
        with no_grad():
            positions = before[:, None] + np.arange(new, dtype=np.int32)
            last = self._run(ids, positions, CachedAttention(self.config, cache, rows)).data[:, -1]
            cache.advance(rows, new)
            logits: Any = ops.linear(last, self._output_weight.data)
            return logits.astype(np.float32, copy=False)

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
        self, ids: npt.NDArray[np.integer], positions: npt.NDArray[Any], attend: Any
    ) -> Tensor:
        x = F.embedding_sum(ids, self.wte.weight, positions, self.wpe.weight)
        x = F.dropout(x, self.config.embd_pdrop if self.training else 0.0)
        delta = None
        for layer, block in enumerate(self.blocks):
            x, delta = block(x, delta, lambda qkv, layer=layer: attend(qkv, layer))
        return self.norm(x, residual=delta)[0]

    def _attend(self, qkv: Tensor, layer: int) -> Tensor:
        p = self.config.attn_pdrop if self.training else 0.0
        return F.attention_packed(qkv, self.config.n_head, dropout_p=p, scale=self._scale)

    @property
    def _scale(self) -> float | None:
        return None if self.config.scale_attn_weights else 1.0

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

    def _initialize(self) -> None:
        """Normal weights, zero biases; smaller where a product ends in the residual stream."""
        spread = self.config.initializer_range
        for name, parameter in self.named_parameters():
            if parameter.data.ndim < 2:
                continue  # norms are ones and zeros, biases zeros
            ends = name.endswith(("attention.out.weight", "mlp.down.weight"))
            scale = spread / (2 * self.config.n_layer) ** 0.5 if ends else spread
            noise = random.generator().normal(0.0, scale, parameter.data.shape)
            parameter.data[...] = noise.astype(parameter.data.dtype)


class CachedAttention:
    """Attention of new tokens over what the cache holds, which they join."""

    def __init__(self, config: GPTConfig, cache: Cache, rows: list[int]) -> None:
        self._config, self._cache, self._rows = config, cache, rows

    def __call__(self, qkv: Tensor, layer: int) -> Tensor:
        c, cache, rows = self._config, self._cache, self._rows
        batch, new, _ = qkv.data.shape
        packed = qkv.data.reshape(batch, new, 3, c.n_head, c.head_dim)
        query, key, value = packed[:, :, 0], packed[:, :, 1], packed[:, :, 2]
        cache.write(layer, rows, key, value)
        scale = None if c.scale_attn_weights else 1.0
        if not cache.lengths[rows].any():
            y: Any = ops.attention(query, key, value, causal=True, scale=scale)
        else:
            y = ops.attention_decode(
                query,
                cache.keys[layer],
                cache.values[layer],
                cache.lengths[rows] + np.int32(new),
                block_table=np.asarray(rows, np.int32)[:, None],
                scale=scale,
            )
        return Tensor(y.reshape(batch, new, c.n_embd))
