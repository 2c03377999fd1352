"""Every setting of a training run: a field here, an option of `pyllm train`, a key of its file.

The metadata of a field says what it does and in which group `pyllm train --help` shows it.
"""

import difflib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pyllm import cuda
from pyllm.files import write_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

OPTIMIZERS = ("adamw", "adam", "adafactor", "lion", "sgd")
SCHEDULES = ("cosine", "linear", "constant", "inverse_sqrt", "exponential")
DTYPES = ("float32", "bfloat16")


def _setting(default: Any, panel: str, text: str) -> Any:
    return field(default=default, metadata={"panel": panel, "help": text})


@dataclass
class TrainConfig:
    """Settings of a run; the defaults train a small GPT on Shakespeare in about two minutes.

    Raises:
        ValueError: by `check`, naming the field, its value and what was expected.
    """

    data: list[str] = field(
        default_factory=list,
        metadata={
            "panel": "Data",
            "help": "Text files, folders of text, or one folder made by `pyllm prepare`. "
            "Default: Shakespeare's plays, which come with pyllm.",
        },
    )
    validation_fraction: float = _setting(
        0.05, "Data", "Share of every text, at its end, that is kept for validation."
    )
    tokenizer: str = _setting(
        "bpe", "Data", "'bpe' or 'char' to train one, or the path of a tokenizer.json."
    )
    vocab_size: int = _setting(2048, "Data", "Entries of a BPE tokenizer that is trained.")
    out: str = _setting("runs/gpt", "Data", "Folder of the run: checkpoints, metrics, curve.")

    model: str = _setting(
        "nano", "Model", "Preset: nano, micro, mini, small, gpt2, gpt2-medium, -large or -xl."
    )
    n_layer: int | None = _setting(None, "Model", "Blocks. Default: the preset's.")
    n_head: int | None = _setting(None, "Model", "Attention heads. Default: the preset's.")
    n_embd: int | None = _setting(None, "Model", "Width. Default: the preset's.")
    context: int | None = _setting(None, "Model", "Tokens seen at once. Default: the preset's.")
    dropout: float = _setting(0.0, "Model", "Dropout on embeddings, attention and block outputs.")
    init_from: str = _setting(
        "", "Model", "Start from the weights in this folder (a run, or a GPT-2 checkpoint)."
    )
    dtype: str = _setting(
        "float32", "Model", "float32, or bfloat16 parameters with a float32 master copy."
    )

    steps: int = _setting(4000, "Optimization", "Updates of the parameters.")
    batch_size: int = _setting(16, "Optimization", "Windows of text a forward pass.")
    accumulation: int = _setting(1, "Optimization", "Forward passes an update.")
    optimizer: str = _setting(
        "adamw", "Optimization", "adamw, adam, adafactor, lion, or sgd (Nesterov)."
    )
    state_bits: int = _setting(
        32, "Optimization", "32, or 8 for moments in a byte an element (not adafactor's)."
    )
    learning_rate: float = _setting(2e-3, "Optimization", "Peak learning rate.")
    schedule: str = _setting(
        "cosine",
        "Optimization",
        "After the warm-up: cosine, linear, constant, inverse_sqrt or exponential.",
    )
    warmup: int = _setting(50, "Optimization", "Steps of linear warm-up.")
    final_learning_rate: float = _setting(
        0.02, "Optimization", "Where the schedule ends, as a share of the peak."
    )
    weight_decay: float = _setting(
        0.1, "Optimization", "Decay of matrices; biases and norms are never decayed."
    )
    beta1: float = _setting(0.9, "Optimization", "First moment's decay.")
    beta2: float = _setting(0.98, "Optimization", "Second moment's decay.")
    clip: float = _setting(
        1.0, "Optimization", "Greatest global norm of the gradient; 0 for no clipping."
    )
    seed: int = _setting(0, "Optimization", "Of initial weights, batch order and dropout.")
    device: str = _setting("cpu", "Optimization", "Where to train: cpu, cuda or cuda:N.")
    threads: int | None = _setting(None, "Optimization", "CPU threads. Default: all.")

    log_every: int = _setting(10, "Reports", "Steps between lines of metrics.jsonl.")
    evaluate_every: int = _setting(500, "Reports", "Steps between validations; 0 for none.")
    evaluate_batches: int = _setting(20, "Reports", "Batches of a validation; 0 for all.")
    checkpoint_every: int = _setting(1000, "Reports", "Steps between checkpoints; 0: at the end.")
    keep_checkpoints: int = _setting(1, "Reports", "How many of the newest checkpoints to keep.")
    plot: bool = _setting(True, "Reports", "Draw loss.png (needs matplotlib: pyllm[viz]).")
    sample_tokens: int = _setting(200, "Reports", "Length of the sample at the end; 0 for none.")
    prompt: str = _setting("\n", "Reports", "What the sample starts from.")

    @property
    def out_folder(self) -> Path:
        return Path(self.out)

    def check(self) -> None:
        """Raise a ValueError for the first field whose value makes no sense here."""
        positive = (
            "steps",
            "batch_size",
            "accumulation",
            "log_every",
            "keep_checkpoints",
            "n_layer",
            "n_head",
            "n_embd",
            "context",
            "threads",
            "vocab_size",
        )
        not_negative = (
            "warmup",
            "learning_rate",
            "final_learning_rate",
            "weight_decay",
            "clip",
            "seed",
            "evaluate_every",
            "evaluate_batches",
            "checkpoint_every",
            "sample_tokens",
        )
        below_one = ("validation_fraction", "dropout", "beta1", "beta2")
        choices: dict[str, tuple[Any, ...]] = {
            "optimizer": OPTIMIZERS,
            "schedule": SCHEDULES,
            "dtype": DTYPES,
            "state_bits": (8, 32),
        }
        for name in positive:
            self._require(name, lambda v: v is None or v >= 1, "at least 1")
        for name in not_negative:
            self._require(name, lambda v: v >= 0, "0 or more")
        for name in below_one:
            self._require(name, lambda v: 0 <= v < 1, "at least 0 and below 1")
        for name, allowed in choices.items():
            self._require(
                name, lambda v, a=allowed: v in a, f"one of {', '.join(map(str, allowed))}"
            )
        cuda.require_device(self.device)
        if not self.prompt and self.sample_tokens:
            raise ValueError("prompt: expected some text to start the sample from, got ''")

    def _require(self, name: str, right: Any, expected: str) -> None:
        value = getattr(self, name)
        if not right(value):
            raise ValueError(f"{name}: expected {expected}, got {value!r}")

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], source: str = "config") -> "TrainConfig":
        """Settings by name; an int stands for a float, a string for a list of one.

        Raises:
            ValueError: an unknown name, or a value of a wrong type.
        """
        types = {f.name: f.type for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in content.items():
            key = name.replace("-", "_")
            if key not in types:
                near = difflib.get_close_matches(key, types, 1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{source}: there is no setting {name!r}{hint}")
            values[key] = _convert(key, value, types[key], source)
        return cls(**values)

    @classmethod
    def load(cls, path: Path) -> "TrainConfig":
        """Read a .toml or .json file of settings.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the file cannot be parsed, or as `from_dict`.
        """
        return cls.from_dict(read_settings(path), str(path))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def save(self, path: Path) -> None:
        """Write the settings as JSON."""
        write_text(path, json.dumps(self.to_dict(), indent=2) + "\n")


def read_settings(path: Path) -> dict[str, Any]:
    """The object in a .toml or .json file; errors as `TrainConfig.load`."""
    if not path.is_file():
        raise FileNotFoundError(f"config: there is no file {path}")
    if path.suffix not in (".toml", ".json"):
        raise ValueError(f"config: expected a .toml or .json file, got {path}")
    text = path.read_text(encoding="utf-8")
    try:
        content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected settings by name, got {type(content).__name__}")
    return content


def _convert(name: str, value: Any, wanted: Any, source: str) -> Any:
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted == list[str]:
        if isinstance(value, str):
            return [value]
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
    elif wanted == int | None:
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
    elif type(value) is wanted:
        return value
    kind = getattr(wanted, "__name__", None) if wanted in (int, float, str, bool) else str(wanted)
    raise ValueError(f"{source}: {name} expects {kind}, got {value!r}")
