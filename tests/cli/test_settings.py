"""Options made from a dataclass, and the command line around them."""

from dataclasses import dataclass, field

import typer
from typer.testing import CliRunner

from pyllm.cli.settings import with_options


def _setting(default, text):
    return field(default=default, metadata={"panel": "Group", "help": text})


@dataclass
class Settings:
    names: list[str] = field(default_factory=list, metadata={"panel": "Group", "help": "Names."})
    rate: float = _setting(0.5, "A rate [of change].")
    count: int | None = _setting(None, "A count.")
    draw: bool = _setting(True, "Whether to draw.")


def run(*arguments):
    seen = {}

    def command(given, extra: bool = False):
        """Help of the command."""
        seen.update(given, extra=extra)

    app = typer.Typer()
    app.command()(with_options(Settings, command))
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "120"})
    return result, seen


def test_only_what_is_given_arrives():
    assert run()[1] == {"extra": False}
    result, seen = run("--rate", "2", "--names", "a", "--names", "b", "--no-draw", "--extra")
    assert result.exit_code == 0
    assert seen == {"rate": 2.0, "names": ["a", "b"], "draw": False, "extra": True}


def test_zero_is_given():
    assert run("--rate", "0", "--count", "0")[1] == {"rate": 0.0, "count": 0, "extra": False}


def test_help_names_every_setting_with_its_default():
    text = run("--help")[0].output
    for expected in (
        "Help of the command",
        "--names",
        "--rate",
        "[default: 0.5]",
        "[of change]",
        "--no-draw",
        "[default: yes]",
        "Group",
    ):
        assert expected in text


def test_wrong_types_are_refused():
    result, _ = run("--rate", "fast")
    assert result.exit_code == 2
    assert "--rate" in result.output
