"""Settings of the GPT models, under the keys of Hugging Face's GPT2Config.

A config.json of a GPT-2 checkpoint on disk is read as it is. Keys that only other code uses are
kept and written back; keys that would change the numbers, but that this model does not implement,
are refused.
"""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from pyllm.files import write_text

# Values of keys we do not implement that leave the numbers as they are.
_INERT: dict[str, Any] = {
    "add_cross_attention": False,
    "scale_attn_by_inverse_layer_idx": False,
    "reorder_and_upcast_attn": False,
}
ACTIVATIONS = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


@dataclass(frozen=True)
class GPTConfig:
    """A GPT-2 style decoder (Radford et al. 2019): learned positions, pre-norm, tied embeddings.

    Attributes:
        vocab_size: entries of the embedding.
        n_positions: longest context, in tokens.
        n_embd: width; a multiple of n_head.
        n_layer: blocks.
        n_head: attention heads.
        n_inner: width of the MLP; None is 4 * n_embd.
        activation_function: "gelu_new" (tanh form), "gelu", "relu" or "silu".
        resid_pdrop, embd_pdrop, attn_pdrop: dropout on block outputs, embeddings, attention.
        layer_norm_epsilon: added to the variance.
        initializer_range: standard deviation of the initial weights; the two projections into the
            residual stream get it divided by sqrt(2 * n_layer).
        scale_attn_weights: divide scores by sqrt(head_dim).
        tie_word_embeddings: the output projection is the embedding.
        bos_token_id, eos_token_id: the end-of-text token, if the tokenizer has one.
        other: further keys of a file that was read, written back unchanged.

    Raises:
        ValueError: a size below 1, a width that is no multiple of the heads, a probability outside
            [0, 1), or an activation that is not known.
    """

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    resid_pdrop: float = 0.1
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02
    scale_attn_weights: bool = True
    tie_word_embeddings: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    other: dict[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_embd: expected a multiple of n_head = {self.n_head}, got {self.n_embd}"
            )
        for name in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 0 <= p < 1, got {getattr(self, name)}")
        if self.activation_function not in ACTIVATIONS:
            raise ValueError(
                f"activation_function: expected one of {', '.join(ACTIVATIONS)}, "
                f"got {self.activation_function!r}"
            )

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    @property
    def inner(self) -> int:
        """Width of the MLP."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "GPTConfig":
        """One of `PRESETS`, with some fields changed.

        Raises:
            ValueError: no such preset.
        """
        if name not in PRESETS:
            raise ValueError(f"model: expected one of {', '.join(PRESETS)}, got {name!r}")
        return replace(cls(**PRESETS[name]), **changes)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "GPTConfig":
        """The settings in a config.json's object.

        Raises:
            ValueError: the file is of another model type, or asks for what is not implemented.
        """
        if content.get("model_type", "gpt2") != "gpt2":
            raise ValueError(f"model_type: expected 'gpt2', got {content['model_type']!r}")
        for key, inert in _INERT.items():
            if content.get(key, inert) != inert:
                raise ValueError(f"{key}: {content[key]!r} is not supported, only {inert!r}")
        own = {f.name for f in fields(cls)} - {"other"}
        known = {key: value for key, value in content.items() if key in own}
        other = {key: value for key, value in content.items() if key not in own}
        return cls(**known, other=other)

    def to_dict(self) -> dict[str, Any]:
        """The object of a config.json that `transformers` reads as well."""
        content = asdict(self)
        other = content.pop("other")
        fixed = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
        return {**other, **content, **fixed}

    @classmethod
    def load(cls, path: Path) -> "GPTConfig":
        """Read a config.json.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is no JSON object, or as `from_dict`.
        """
        if not path.is_file():
            raise FileNotFoundError(f"model: there is no {path}")
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not a JSON file ({error})") from None
        if not isinstance(content, dict):
            raise ValueError(f"{path}: expected a JSON object, got {type(content).__name__}")
        return cls.from_dict(content)

    def save(self, path: Path) -> None:
        """Write a config.json."""
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")


PRESETS: dict[str, dict[str, Any]] = {
    "nano": {"n_layer": 2, "n_head": 4, "n_embd": 128, "n_positions": 64},
    "micro": {"n_layer": 6, "n_head": 6, "n_embd": 192, "n_positions": 256},
    "mini": {"n_layer": 6, "n_head": 6, "n_embd": 384, "n_positions": 256},
    "small": {"n_layer": 8, "n_head": 8, "n_embd": 512, "n_positions": 512},
    "gpt2": {},
    "gpt2-medium": {"n_layer": 24, "n_head": 16, "n_embd": 1024},
    "gpt2-large": {"n_layer": 36, "n_head": 20, "n_embd": 1280},
    "gpt2-xl": {"n_layer": 48, "n_head": 25, "n_embd": 1600},
}
