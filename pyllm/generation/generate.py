"""Text from a causal language model with a key/value cache: streamed, several sequences at once.

A model takes part by the `CausalModel` protocol below. Each prompt is read in one pass (prefill),
then every step feeds one token a sequence. When a sequence fills the model's context,
the cache is rebuilt from the last three quarters of it, so that generation goes on without end.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pyllm.data.tokenizer import StreamDecoder, Tokenizer
from pyllm.generation.sampling import Sampler, SamplingConfig
from pyllm.generation.stopping import StopFilter


class CausalModel(Protocol):
    """What generation needs of a model."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def max_length(self) -> int:
        """Tokens that the model can see at once."""
        ...

    def new_cache(self, sequences: int, capacity: int) -> Any:
        """An empty cache with room for `capacity` tokens a sequence."""
        ...

    def next_logits(
        self, ids: npt.NDArray[np.int32], cache: Any, rows: list[int], *, restart: bool = False
    ) -> npt.NDArray[np.float32]:
        """Append `ids` (rows, seq) to the cached sequences `rows`; logits after the last of each.

        restart: forget what these sequences hold first.
        """
        ...


@dataclass(frozen=True)
class Piece:
    """New text of one sequence; `done` says that it is its last."""

    sequence: int
    text: str
    done: bool


class _Run:
    """The state of one generation: what each sequence is, and how much of it is cached."""

    def __init__(self, model: CausalModel, prompts: list[list[int]], max_new_tokens: int) -> None:
        self.model = model
        self.sequences = [list(prompt) for prompt in prompts]
        self.cached = [0] * len(prompts)
        longest = max(map(len, prompts)) + max_new_tokens
        self.capacity = min(model.max_length, longest)
        self.cache = model.new_cache(len(prompts), self.capacity)

    def next_logits(self, rows: list[int]) -> npt.NDArray[np.float32]:
        """(len(rows), vocab_size) logits of what follows each of these sequences."""
        logits = np.empty((len(rows), self.model.vocab_size), np.float32)
        step = [i for i, row in enumerate(rows) if 0 < self.cached[row] < self.capacity]
        for i in set(range(len(rows))) - set(step):  # not read yet, or the context is full
            row = rows[i]
            ids = np.asarray([self._window(row)], np.int32)
            logits[i] = self.model.next_logits(ids, self.cache, [row], restart=True)[0]
            self.cached[row] = ids.shape[1]
        if step:
            which = [rows[i] for i in step]
            ids = np.asarray([self.sequences[row][-1:] for row in which], np.int32)
            logits[step] = self.model.next_logits(ids, self.cache, which)
            for row in which:
                self.cached[row] += 1
        return logits

    def _window(self, row: int) -> list[int]:
        ids = self.sequences[row]
        if len(ids) <= self.capacity and not self.cached[row]:
            return ids
        return ids[-max(1, self.capacity * 3 // 4) :]


def generate_ids(
    model: CausalModel,
    prompts: list[list[int]],
    max_new_tokens: int,
    sampling: SamplingConfig | None = None,
    *,
    stop_ids: frozenset[int] = frozenset(),
) -> Generator[list[tuple[int, int]], set[int] | None, None]:
    """Steps of [(sequence, new id), ...], over the sequences that still run.

    A sequence ends after max_new_tokens, after an id of `stop_ids` (which is yielded), or when the
    caller sends its number into the generator (`steps.send({2})`).

    Raises:
        ValueError: no prompt, an empty one, an id outside the vocabulary, max_new_tokens below 0.
    """
    _check_prompts(prompts, model.vocab_size, max_new_tokens)
    run = _Run(model, prompts, max_new_tokens)
    sampler = Sampler(sampling or SamplingConfig(), len(prompts))
    rows = list(range(len(prompts)))
    for _ in range(max_new_tokens):
        if not rows:
            return
        new = sampler.next(run.next_logits(rows), [run.sequences[row] for row in rows], rows)
        step = [(row, int(token)) for row, token in zip(rows, new, strict=True)]
        for row, token in step:
            run.sequences[row].append(token)
        ended = (yield step) or set()
        rows = [row for row, token in step if token not in stop_ids and row not in ended]


def stream(
    model: CausalModel,
    tokenizer: Tokenizer,
    prompts: list[str],
    max_new_tokens: int = 256,
    sampling: SamplingConfig | None = None,
    *,
    stop: tuple[str, ...] = (),
) -> Iterator[Piece]:
    """Text as it is made. A sequence also ends at a stop string, or at the end-of-text token.

    Raises:
        ValueError: as `generate_ids`, or a stop string is empty.
    """
    stop_ids = frozenset() if tokenizer.end_of_text is None else frozenset({tokenizer.end_of_text})
    decoders = [StreamDecoder(tokenizer) for _ in prompts]
    filters = [StopFilter(stop) for _ in prompts]
    running = set(range(len(prompts)))
    ids = [tokenizer.encode(prompt).tolist() for prompt in prompts]
    steps = generate_ids(model, ids, max_new_tokens, sampling, stop_ids=stop_ids)
    ended: set[int] | None = None
    while True:
        try:
            step = steps.send(ended)
        except StopIteration:
            break
        ended = set()
        for row, token in step:
            text = "" if token in stop_ids else filters[row].push(decoders[row].push(token))
            if filters[row].stopped or token in stop_ids:
                ended.add(row)
                running.discard(row)
                rest = "" if filters[row].stopped else _rest(decoders[row], filters[row])
                yield Piece(row, text + rest, True)
            elif text:
                yield Piece(row, text, False)
    for row in sorted(running):
        yield Piece(row, _rest(decoders[row], filters[row]), True)


def generate(
    model: CausalModel,
    tokenizer: Tokenizer,
    prompts: list[str],
    max_new_tokens: int = 256,
    sampling: SamplingConfig | None = None,
    *,
    stop: tuple[str, ...] = (),
) -> list[str]:
    """The continuation of each prompt (without the prompt); arguments and errors of `stream`."""
    texts = [""] * len(prompts)
    for piece in stream(model, tokenizer, prompts, max_new_tokens, sampling, stop=stop):
        texts[piece.sequence] += piece.text
    return texts


def _rest(decoder: StreamDecoder, stop: StopFilter) -> str:
    return stop.push(decoder.flush()) + stop.flush()


def _check_prompts(prompts: list[list[int]], vocab_size: int, max_new_tokens: int) -> None:
    if not prompts:
        raise ValueError("prompts: expected at least one, got none")
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens: expected 0 or more, got {max_new_tokens}")
    for i, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(
                f"prompts: number {i} is empty; the model needs one token to start from"
            )
        if min(prompt) < 0 or max(prompt) >= vocab_size:
            raise ValueError(
                f"prompts: number {i} has an id outside the vocabulary of {vocab_size} tokens"
            )
