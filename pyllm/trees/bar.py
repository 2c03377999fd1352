"""How far a model in the making has come, for people to look at."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Bar:
    """A live bar on a terminal; elsewhere a line for each tenth.

    Args:
        unit: what is counted, in the singular.
        total: how many there will be.
    """

    def __init__(self, unit: str, total: int, console: Console | None = None) -> None:
        self._console = console or Console()
        self._unit, self._total, self._done = unit, total, 0
        self._bar = Progress(
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=total)

    def start(self) -> None:
        self._bar.start()

    def stop(self) -> None:
        self._bar.stop()

    def update(self, done: int, text: str = "") -> None:
        """`done` of them are there; `text` says more."""
        self._bar.update(self._task, completed=done, description=text)
        tenth = max(1, self._total // 10)
        if not self._console.is_terminal and done // tenth > self._done // tenth:
            self._console.print(f"{self._unit} {done}/{self._total}  {text}".rstrip())
        self._done = done
