"""The `pyllm` command. Each command is a function in the module of its name."""

import importlib
import sys
from importlib.util import find_spec

import typer
from rich.console import Console

COMMANDS = ("train", "generate", "prepare", "info", "bench")


def make_app() -> typer.Typer:
    """The command line with every command that is installed."""
    app = typer.Typer(
        name="pyllm",
        help="Train and run language models, fast. "
        "`pyllm train` with nothing else trains a small GPT on Shakespeare in two minutes.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(lambda: None)  # a group, however many commands there are
    for name in COMMANDS:
        if find_spec(f"pyllm.cli.{name}"):
            app.command(name)(getattr(importlib.import_module(f"pyllm.cli.{name}"), name))
    return app


def main() -> None:
    """Run the command; what the user can put right is one line, not a traceback."""
    try:
        make_app()()
    except (ValueError, OSError, MemoryError) as error:
        text = str(error) or "out of memory"
        Console(stderr=True).print(
            f"[red]Error:[/red] {_escape(text)}", highlight=False, soft_wrap=True
        )
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")
