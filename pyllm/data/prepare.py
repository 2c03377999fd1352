"""From text files to token files, streaming: memory stays at a few chunks whatever the input."""

from collections.abc import Callable, Iterator
from pathlib import Path

from pyllm.data.text import TextSource, read_chunks
from pyllm.data.tokenfile import SHARD_TOKENS, TokenWriter
from pyllm.data.tokenizer import Tokenizer, train_tokenizer
from pyllm.files import atomic_folder

Progress = Callable[[str, int, int], None]  # stage, bytes done, bytes in all


def prepare(
    sources: list[TextSource],
    folder: Path,
    tokenizer: Tokenizer | str = "bpe",
    *,
    vocab_size: int = 1024,
    validation_fraction: float = 0.05,
    shard_tokens: int = SHARD_TOKENS,
    tokenizer_bytes: int = 100 << 20,
    progress: Progress | None = None,
) -> Tokenizer:
    """Write the token folder `folder`, whole or not at all; return the tokenizer.

    Args:
        tokenizer: one to use, or "char" or "bpe" to train one on the inputs.
        vocab_size: of a BPE tokenizer that is trained here.
        validation_fraction: the last part of every source, by bytes, that is kept for validation.
        shard_tokens: ids a shard file.
        tokenizer_bytes: train the BPE tokenizer on at most so many bytes, spread evenly over the
            inputs; the character vocabulary always sees all.

    Raises:
        ValueError: a fraction outside [0, 1), no training text, or an argument out of range.
    """
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction: expected 0 <= f < 1, got {validation_fraction}")
    total = sum(source.size for source in sources)
    report = progress or (lambda stage, done, total: None)
    if isinstance(tokenizer, str):
        every = max(1, -(-total // tokenizer_bytes)) if tokenizer == "bpe" else 1
        texts = _texts(sources, every, lambda done: report("tokenizer", done, total))
        tokenizer = train_tokenizer(tokenizer, vocab_size, texts)
    separator = [] if tokenizer.end_of_text is None else [tokenizer.end_of_text]
    with (
        atomic_folder(folder) as temporary,
        TokenWriter(temporary, tokenizer, shard_tokens) as writer,
    ):
        done = 0
        for source in sources:
            previous = ""
            for split, text in read_chunks(source, validation_fraction):
                if previous not in ("", split):
                    writer.append(previous, separator)
                text_bytes = len(text.encode("utf-8"))
                writer.append(split, tokenizer.encode(text), text_bytes)
                previous = split
                done += text_bytes
                report("tokens", done, total)
            if previous:
                writer.append(previous, separator)
        if not writer.tokens("train"):
            raise ValueError("data: the inputs hold no training text")
    return tokenizer


def _texts(sources: list[TextSource], every: int, report: Callable[[int], None]) -> Iterator[str]:
    done = index = 0
    for source in sources:
        for _, text in read_chunks(source, chunk_bytes=1 << 20):
            done += len(text.encode("utf-8"))
            if index % every == 0:
                yield text
            index += 1
            report(done)
