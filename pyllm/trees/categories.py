"""Categories: which have a bin, and splits in terms of their values."""

from collections.abc import Sequence

import numpy as np

_MOST = 1 << 24  # a split holds a bit for each number up to the largest category


def find_categories(
    values: np.ndarray, counts: np.ndarray, max_bin: int, feature: int
) -> tuple[np.ndarray, int, float]:
    """The categories that get a bin, rising: the max_bin most frequent.

    Args:
        values, counts: the distinct values of the feature and how often each occurs.

    Returns:
        The categories, and the bin of the most frequent one with its share of all values.

    Raises:
        ValueError: a value is no whole number from 0 to 2^24.
    """
    known, total = ~np.isnan(values), counts.sum()
    values, counts = values[known], counts[known]
    bad = ~((values >= 0) & (values < _MOST) & (values == np.floor(values)))
    if bad.any():
        raise ValueError(
            f"X: feature {feature} is categorical, expected whole numbers from 0 to {_MOST - 1}, "
            f"got {values[bad][0]}"
        )
    frequent = np.argsort(-counts, kind="stable")[:max_bin]
    if len(frequent) == 0:
        return np.zeros(0), 0, 0.0
    usual = int((values[frequent] < values[frequent[0]]).sum())
    share = float(counts[frequent[0]] / total)
    return np.sort(values[frequent]).astype(np.float64), usual, share


def keep_known(column: np.ndarray, known: np.ndarray) -> np.ndarray:
    """A column with NaN for values that are not among the known categories."""
    return np.where(np.isin(column, known), column, np.asarray(np.nan, column.dtype))


def category_fields(
    categories: Sequence[np.ndarray | None],
    feature: np.ndarray,
    offset: np.ndarray,
    words: np.ndarray,
) -> dict[str, np.ndarray]:
    """The fields of Tree for categorical splits, from bits by code.

    Args:
        categories: per feature, the category of each code.
        feature: (n_nodes,), what each node splits on.
        offset: (n_nodes,), the first of its words; -1 at other nodes.
        words: uint32, bit c of a node's words is set if code c goes left.
    """
    if not len(words):
        return {
            "category_offset": offset,
            "category_words": np.zeros(len(feature), np.int32),
            "category_bits": words,
        }
    category_offset = np.full(len(feature), -1, np.int64)
    category_words = np.zeros(len(feature), np.int32)
    translations: dict[int, _Translation] = {}
    sets: list[np.ndarray] = []
    length = 0
    for node in np.flatnonzero(offset >= 0):
        f = int(feature[node])
        if f not in translations:
            known = categories[f]
            assert known is not None
            translations[f] = _Translation(known)
        bits = translations[f].apply(words[offset[node] :])
        category_offset[node], category_words[node] = length, len(bits)
        sets.append(bits)
        length += len(bits)
    return {
        "category_offset": category_offset,
        "category_words": category_words,
        "category_bits": np.concatenate(sets) if sets else np.zeros(0, np.uint32),
    }


class _Translation:
    """From bits by code to bits by category, without words of zeros at the end but the first."""

    def __init__(self, known: np.ndarray) -> None:
        codes, category = np.arange(len(known)), known.astype(np.int64)
        self.words = len(known) // 32 + 1
        self.same = np.array_equal(codes, category)
        self.word, self.shift = codes // 32, (codes % 32).astype(np.uint32)
        self.to_word, self.to_bit = (
            category // 32,
            np.uint32(1) << (category % 32).astype(np.uint32),
        )

    def apply(self, words: np.ndarray) -> np.ndarray:
        """words: those of one node, others may follow."""
        if self.same:
            used = np.flatnonzero(words[: self.words])
            return words[: used[-1] + 1 if len(used) else 1]
        left = (words[self.word] >> self.shift & 1).astype(np.bool_)
        to = self.to_word[left]
        bits = np.zeros(to[-1] + 1 if len(to) else 1, np.uint32)  # categories rise
        np.bitwise_or.at(bits, to, self.to_bit[left])
        return bits
