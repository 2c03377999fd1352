"""The generation loop over a model whose every answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyllm.data import CharTokenizer
from pyllm.generation import SamplingConfig, StopFilter, generate, generate_ids, stream

GREEDY = SamplingConfig(temperature=0)


class Counter:
    """Says that after id n comes n + 1; checks that the cache is fed what it should be."""

    vocab_size, max_length = 26, 8

    def new_cache(self, sequences, capacity):
        self.capacity = capacity
        return [[] for _ in range(sequences)]

    def next_logits(self, ids, cache, rows, *, restart=False):
        logits = np.zeros((len(rows), 26), np.float32)
        for i, row in enumerate(rows):
            if restart:
                cache[row] = []
            cache[row] += ids[i].tolist()
            assert len(cache[row]) <= self.capacity <= self.max_length
            run = np.array(cache[row])
            assert ((np.diff(run) - 1) % 26 == 0).all()
            logits[i, (run[-1] + 1) % 26] = 1
        return logits


TOKENIZER = CharTokenizer("abcdefghijklmnopqrstuvwxyz")


@given(st.lists(st.integers(1, 20), min_size=1, max_size=4), st.integers(0, 40))
def test_counts_on_beyond_the_context(lengths, new):
    prompts = [[(i + j) % 26 for j in range(n)] for i, n in enumerate(lengths)]
    got = [list(prompt) for prompt in prompts]
    for step in generate_ids(Counter(), prompts, new, GREEDY):
        for row, token in step:
            got[row].append(token)
    for prompt, ids in zip(prompts, got, strict=True):
        assert ids == [(prompt[0] + j) % 26 for j in range(len(prompt) + new)]


def test_stop_strings_end_one_sequence_only():
    texts = generate(Counter(), TOKENIZER, ["a", "m"], 10, GREEDY, stop=("fg", "xyz!"))
    assert texts == ["bcde", "nopqrstuvw"]


def test_streamed_pieces_are_the_text_and_end_once():
    pieces = list(stream(Counter(), TOKENIZER, ["a", "m", "x"], 6, GREEDY, stop=("de", "q")))
    texts = ["".join(p.text for p in pieces if p.sequence == i) for i in range(3)]
    assert texts == ["bc", "nop", "yzabcd"]
    assert sorted(p.sequence for p in pieces if p.done) == [0, 1, 2]


def test_end_of_text_ends_without_showing():
    tokenizer = CharTokenizer(TOKENIZER.characters)
    tokenizer.end_of_text = 5
    assert generate(Counter(), tokenizer, ["a"], 20, GREEDY) == ["bcde"]


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_stop_filter_cuts_before_the_stop_string_that_ends_first(text, stop):
    stops = StopFilter(tuple(stop))
    got = "".join(stops.push(character) for character in text) + stops.flush()
    ends = [i for i in range(len(text)) if any(text[: i + 1].endswith(s) for s in stop)]
    if not ends:
        assert got == text
    else:
        head = text[: ends[0] + 1]
        assert got == head[: min(len(head) - len(s) for s in stop if head.endswith(s))]
    assert stops.stopped == bool(ends)


@pytest.mark.parametrize(
    ("prompts", "new", "message"),
    [
        ([], 1, "at least one"),
        ([[]], 1, "empty"),
        ([[26]], 1, "outside"),
        ([[-1]], 1, "outside"),
        ([[1]], -1, "0 or more"),
    ],
)
def test_hostile_inputs(prompts, new, message):
    with pytest.raises(ValueError, match=message):
        next(generate_ids(Counter(), prompts, new), None)
    with pytest.raises(ValueError, match="non-empty"):
        list(stream(Counter(), TOKENIZER, ["a"], 1, stop=("",)))
