"""What a run is built from: its folder and settings, its tokens, its model."""

import dataclasses
import shutil
from pathlib import Path

import pyllm
from pyllm.data import TextSource, Tokenizer, find_texts, load_tokenizer, shakespeare
from pyllm.data import prepare as prepare_tokens
from pyllm.data.prepare import Progress
from pyllm.data.tokenfile import is_token_folder, read_index
from pyllm.files import remove_leftovers
from pyllm.models import GPT, GPTConfig
from pyllm.train.checkpoint import find_model
from pyllm.train.config import TrainConfig, read_settings

SETTINGS = "train.json"
# What a run cannot change on the way.
FIXED = (
    "data",
    "validation_fraction",
    "tokenizer",
    "vocab_size",
    "model",
    "n_layer",
    "n_head",
    "n_embd",
    "context",
    "init_from",
    "dtype",
    "optimizer",
)


def open_run(
    folder: Path, config: TrainConfig, *, resume: bool = False, replace: bool = False
) -> TrainConfig:
    """Make or reopen the folder of a run; the settings, with the thread count filled in."""
    path = folder / SETTINGS
    if replace and not resume and path.is_file():
        shutil.rmtree(folder)
    if path.is_file():
        before = TrainConfig.from_dict(read_settings(path), str(path))
        changed = [name for name in FIXED if getattr(before, name) != getattr(config, name)]
        if not (folder / "metrics.jsonl").is_file():  # it never came to its first step
            if changed:
                shutil.rmtree(folder / "tokens", ignore_errors=True)
        elif not resume:
            raise FileExistsError(
                f"out: {folder} holds a run already: --resume continues it, --force replaces it, "
                "another --out leaves it"
            )
        elif changed:
            name = changed[0]
            raise ValueError(
                f"{name}: the run in {folder} has {getattr(before, name)!r}, "
                f"got {getattr(config, name)!r}; this cannot change when a run is resumed"
            )
        config = dataclasses.replace(config, threads=config.threads or before.threads)
    elif folder.exists() and any(not p.name.startswith(".") for p in folder.iterdir()):
        raise FileExistsError(f"out: {folder} exists and is no run of pyllm; name another folder")
    config = dataclasses.replace(config, threads=config.threads or pyllm.get_num_threads())
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    config.save(path)
    return config


def open_data(
    config: TrainConfig, folder: Path, progress: Progress | None = None
) -> tuple[Tokenizer, Path]:
    """The tokenizer and the token folder, which is made if the data are text."""
    if len(config.data) == 1 and is_token_folder(Path(config.data[0])):
        tokens = Path(config.data[0])
    else:
        tokens = folder / "tokens"
        if not is_token_folder(tokens):
            prepare_tokens(
                _sources(config),
                tokens,
                _tokenizer(config),
                vocab_size=config.vocab_size,
                validation_fraction=config.validation_fraction,
                progress=progress,
            )
    read_index(tokens)
    return load_tokenizer(tokens), tokens


def build_model(config: TrainConfig, tokenizer: Tokenizer) -> GPT:
    """A new model, or the one of `init_from`."""
    dropout = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout)
    shape = {
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "n_positions": config.context,
    }
    if config.init_from:
        if given := [name for name, value in shape.items() if value is not None]:
            raise ValueError(f"{given[0]}: the shape comes with the weights of init_from")
        start = find_model(Path(config.init_from))
        model = GPT.from_pretrained(start, dtype=config.dtype, **dropout)
        if model.config.vocab_size < tokenizer.vocab_size:
            raise ValueError(
                f"init_from: the model knows {model.config.vocab_size} tokens, the tokenizer has "
                f"{tokenizer.vocab_size}; give the model's own by --tokenizer"
            )
        return model
    changes = {name: value for name, value in shape.items() if value is not None}
    end = tokenizer.end_of_text
    settings = GPTConfig.preset(
        config.model,
        vocab_size=tokenizer.vocab_size,
        bos_token_id=end,
        eos_token_id=end,
        **changes,
        **dropout,
    )
    return GPT(settings, dtype=config.dtype)


def _sources(config: TrainConfig) -> list[TextSource]:
    if not config.data:
        return [TextSource("shakespeare", text=shakespeare())]
    for path in map(Path, config.data):
        if is_token_folder(path):
            raise ValueError(f"data: {path} holds token files, which cannot be mixed with others")
    return find_texts([Path(path) for path in config.data])


def _tokenizer(config: TrainConfig) -> Tokenizer | str:
    if config.init_from and config.tokenizer == "bpe":
        start = find_model(Path(config.init_from)) / "tokenizer.json"
        if start.is_file():
            return load_tokenizer(start)
    if config.tokenizer in ("bpe", "char"):
        return config.tokenizer
    return load_tokenizer(Path(config.tokenizer))
