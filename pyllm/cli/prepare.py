"""`pyllm prepare`: text files to memory-mapped token files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from pyllm.data import TokenFile, Tokenizer, find_texts, load_tokenizer
from pyllm.data.prepare import prepare as prepare_tokens
from pyllm.data.tokenfile import SHARD_TOKENS


def prepare(
    data: Annotated[
        list[Path],
        typer.Argument(help="Text files (UTF-8), or folders of them.", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the token files.")],
    tokenizer: Annotated[
        str, typer.Option(help="'bpe' or 'char' to train one, or the path of a tokenizer.json.")
    ] = "bpe",
    vocab_size: Annotated[int, typer.Option(help="Entries of a BPE tokenizer.")] = 8192,
    validation_fraction: Annotated[
        float, typer.Option(help="Share of every file, at its end, kept for validation.")
    ] = 0.05,
    shard_tokens: Annotated[int, typer.Option(help="Tokens a shard file.")] = SHARD_TOKENS,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing folder.")] = False,
) -> None:
    """Turn text into token files that `pyllm train --data FOLDER` maps into memory.

    The text may be larger than memory: it is read in chunks, once for the tokenizer and once for
    the tokens. The folder appears when it is complete, and not before.
    """
    console = Console()
    if out.exists() and not force:
        raise FileExistsError(f"out: {out} exists already; --force replaces it")
    if out.exists() and not (out / "index.json").is_file():
        raise FileExistsError(f"out: {out} is no folder of token files; it is left as it is")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        tasks: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                label = "Learning the tokenizer" if stage == "tokenizer" else "Writing tokens"
                tasks[stage] = bar.add_task(label, total=total)
            bar.update(tasks[stage], completed=done)  # type: ignore[arg-type]

        made = prepare_tokens(
            find_texts(data),
            out,
            tokenizer_of(tokenizer),
            vocab_size=vocab_size,
            validation_fraction=validation_fraction,
            shard_tokens=shard_tokens,
            progress=show,
        )
    for split in ("train", "validation"):
        tokens = TokenFile.open(out, split)
        console.print(f"{split:<11} {len(tokens):>15,} tokens  {tokens.text_bytes or 0:>15,} bytes")
    console.print(f"vocabulary  {made.vocab_size:>15,}")
    console.print(f"Train on it:  pyllm train --data {out}", highlight=False)


def tokenizer_of(name: str) -> Tokenizer | str:
    """The kind to train, or the tokenizer in a file."""
    return name if name in ("bpe", "char") else load_tokenizer(Path(name))
