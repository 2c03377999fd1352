"""The progress bar of a run: loss, validation loss, tokens a second, time left."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pyllm.train.callbacks import Callback, EvaluationMetrics, StepMetrics

if TYPE_CHECKING:
    from pyllm.train.trainer import Trainer


class ProgressBar(Callback):
    """A live bar on a terminal; elsewhere a plain line for each validation and every tenth part."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._validation = ""

    def on_start(self, trainer: "Trainer") -> None:
        columns = (
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(
            *columns, console=self._console, disable=not self._console.is_terminal, transient=True
        )
        self._task = self._bar.add_task("", total=trainer.config.steps, completed=trainer.step)
        self._bar.start()

    def on_step(self, trainer: "Trainer", metrics: StepMetrics) -> None:
        text = f"loss {metrics.loss:.3f}{self._validation} · {metrics.tokens_per_second:,.0f} tok/s"
        self._bar.update(self._task, completed=metrics.step, description=text)
        tenth = max(1, trainer.config.steps // 10)
        if not self._console.is_terminal and metrics.step % tenth == 0:
            left = (trainer.config.steps - metrics.step) * trainer.seconds_per_step
            self._console.print(
                f"step {metrics.step}/{trainer.config.steps}  {text}  {left:.0f} s left"
            )

    def on_evaluation(self, trainer: "Trainer", metrics: EvaluationMetrics) -> None:
        self._validation = f" (validation {metrics.validation_loss:.3f})"
        bits = "" if metrics.bits_per_byte is None else f" ({metrics.bits_per_byte:.3f} bits/byte)"
        self._console.print(
            f"step {metrics.step:>6}   validation loss {metrics.validation_loss:.4f}{bits}"
            f"   {metrics.seconds:.0f} s"
        )

    def on_end(self, trainer: "Trainer") -> None:
        self._bar.stop()
