"""`pyllm train`: from text to a trained model and a sample, in one command."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from pyllm.cli.settings import with_options
from pyllm.train import ProgressBar, TrainConfig, Trainer, plot_loss
from pyllm.train.config import read_settings


def _train(
    given: dict[str, Any],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="TOML or JSON file with any of the settings below; options win over it.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Continue the run in --out from its last checkpoint, if there is one."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Delete the run that is in --out and start anew.")
    ] = False,
) -> None:
    """Train a GPT on text; without any option on Shakespeare's plays, in about two minutes.

    The run's folder gets checkpoints (safetensors), metrics.jsonl and loss.png. A run that is
    interrupted, even killed, goes on with `--resume` and ends with bitwise the same parameters.

    Examples:

    `pyllm train`

    `pyllm train --data book.txt --out runs/book --model micro --steps 5000`

    `pyllm train --data tokens/ --config settings.toml --dtype bfloat16 --accumulation 8`
    """
    console = Console()
    content = {**(read_settings(config) if config else {}), **given}
    settings = TrainConfig.from_dict(content, str(config or "options"))
    folder = settings.out_folder
    if resume:
        settings = _settings_of_run(folder, settings, content)
    with console.status("Preparing the data and the model..."):
        bar = ProgressBar(console)
        trainer = Trainer(settings, resume=resume, replace=force, callbacks=[bar])
    _introduce(trainer, console)
    try:
        trainer.train()
    except KeyboardInterrupt:
        console.print(f"\nStopped after step {trainer.step}; the run is saved in {folder}.")
        console.print(f"Continue:  pyllm train --resume --out {folder}", highlight=False)
        raise typer.Exit(130) from None
    except FloatingPointError as error:
        raise ValueError(str(error)) from None
    _conclude(trainer, console)


train = with_options(TrainConfig, _train)


def _settings_of_run(folder: Path, new: TrainConfig, content: dict[str, Any]) -> TrainConfig:
    """The settings that the run began with, changed by what was asked for now."""
    path = folder / "train.json"
    if not path.is_file():
        return new
    return TrainConfig.from_dict({**read_settings(path), **content}, str(path))


def _introduce(trainer: Trainer, console: Console) -> None:
    config, model = trainer.config, trainer.model
    shape = model.config
    console.print(
        f"[bold]{model.num_parameters() / 1e6:.2f}M parameters[/bold]: {shape.n_layer} layers, "
        f"{shape.n_head} heads, width {shape.n_embd}, context {shape.n_positions}, "
        f"vocabulary {shape.vocab_size}, {config.dtype}"
    )
    console.print(
        f"{trainer.training_tokens:,} training tokens from "
        f"{', '.join(config.data) or 'Shakespeare'}, {config.threads} threads, "
        f"run folder {trainer.folder}",
        highlight=False,
    )
    if trainer.step:
        console.print(f"Resuming after step {trainer.step}.")


def _conclude(trainer: Trainer, console: Console) -> None:
    config, folder = trainer.config, trainer.folder
    if config.plot:
        try:
            console.print(f"Loss curve:  {plot_loss(folder)}", highlight=False)
        except ModuleNotFoundError:
            console.print(
                "No loss curve: matplotlib is missing (pip install 'pyllm[viz]').", markup=False
            )
    if config.sample_tokens:
        text = trainer.sample(config.prompt, config.sample_tokens, seed=config.seed)
        body = Text((config.prompt + text).strip("\n"))
        console.print(Panel(body, title="A sample", title_align="left", expand=False))
    console.print(f"More:  pyllm generate --model {folder}", highlight=False)
