"""What can watch a run. A callback overrides the methods it needs."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyllm.files import write_text

if TYPE_CHECKING:
    from pyllm.train.trainer import Trainer


@dataclass(frozen=True)
class StepMetrics:
    """One update. `loss` is the mean over its tokens, in nats a token."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    seconds: float  # since the run began, over all its parts


@dataclass(frozen=True)
class EvaluationMetrics:
    """One pass over the validation windows."""

    step: int
    validation_loss: float
    bits_per_byte: float | None  # comparable across tokenizers; None if the text's size is unknown
    seconds: float


class Callback:
    """Base of all callbacks: does nothing."""

    def on_start(self, trainer: "Trainer") -> None: ...

    def on_step(self, trainer: "Trainer", metrics: StepMetrics) -> None: ...

    def on_evaluation(self, trainer: "Trainer", metrics: EvaluationMetrics) -> None: ...

    def on_checkpoint(self, trainer: "Trainer", folder: Path) -> None: ...

    def on_end(self, trainer: "Trainer") -> None: ...


class MetricsFile(Callback):
    """Writes metrics.jsonl: a line every `log_every` steps, and one for each validation.

    When a run is resumed, the lines after its checkpoint are dropped: those steps run again.
    """

    def on_start(self, trainer: "Trainer") -> None:
        path = trainer.folder / "metrics.jsonl"
        kept = [line for line in read_metrics(path) if line["step"] <= trainer.step]
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = path.open("a", encoding="utf-8")

    def on_step(self, trainer: "Trainer", metrics: StepMetrics) -> None:
        if metrics.step % trainer.config.log_every == 0 or metrics.step == trainer.config.steps:
            self._write(asdict(metrics))

    def on_evaluation(self, trainer: "Trainer", metrics: EvaluationMetrics) -> None:
        self._write(asdict(metrics))

    def on_checkpoint(self, trainer: "Trainer", folder: Path) -> None:
        os.fsync(self._file.fileno())

    def on_end(self, trainer: "Trainer") -> None:
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    lines: list[dict[str, Any]] = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
