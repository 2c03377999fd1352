"""Command-line options made from the fields of a dataclass, so that each setting is named once."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any

import typer


def options(config: type) -> list[inspect.Parameter]:
    """A keyword parameter for each field; None stands for "not given"."""
    return [_option(f) for f in fields(config)]


def with_options(config: type, command: Callable[..., None]) -> Callable[..., None]:
    """`command(own arguments..., given: dict)` as a function with an option for every field.

    `given` holds the settings that stand on the command line, and only those.
    """
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "given"]
    added = options(config)
    names = [p.name for p in added]

    def run(**arguments: Any) -> None:
        settings = {name: arguments.pop(name) for name in names}
        given = {name: value for name, value in settings.items() if value not in (None, [])}
        command(**arguments, given=given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(own + added)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in own + added}
    return run


def _option(f: Field) -> inspect.Parameter:
    factory: Any = f.default_factory
    default = factory() if f.default is MISSING else f.default
    flag = f"--{f.name.replace('_', '-')}"
    flags = (flag, f"--no-{f.name}") if f.type is bool else (flag,)
    text = f.metadata["help"]
    if default not in (None, [], ""):
        text = f"{text} [default: {_show(default)}]"
    declaration = typer.Option(
        "/".join(flags),
        help=text.replace("[", r"\["),
        rich_help_panel=f.metadata["panel"],
        show_default=False,
    )
    declared: Any = f.type
    kind = declared if declared in (list[str], int | None) else declared | None
    return inspect.Parameter(
        f.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind, declaration],
    )


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value) if isinstance(value, str) and not value.strip() else str(value)
