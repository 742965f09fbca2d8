"""Paraphrase: do two sentences mean the same? Overlap of words cannot tell.

A set in `data/paraphrase/LANGUAGE.toml` has two meanings, a and b, in which two things have exchanged roles ("the nurse
lent the singer an umbrella", "the singer lent the nurse ..."), and three wordings of each: plain, reordered, in other
words. Wording k of a and of b use the same words. A pair of wordings (i, j) is asked once within a meaning and once
across the two, so "same" and "different" come with equal overlap (the idea of PAWS, Zhang et al.
2019, arXiv 1904.01130, with its swaps and its back-translations written by hand). Train and test share no sentence.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

Items = Iterator[tuple[str, dict[str, str], str]]

# (meaning, wording) of sentence 1 and of sentence 2: each same pair is followed by the different one of equal overlap.
TEST_PAIRS = ("a1 a2", "a1 b2", "b1 b3", "b1 a3", "a2 a3", "a2 b3")
SHOT_PAIRS = ("a1 a3", "a1 b3", "b1 b2", "b1 a2")
WORDINGS = ("a1", "a2", "a3", "b1", "b2", "b3")


def demonstrations(bank: Mapping[str, Any]) -> Items:
    yield from _items(bank["demonstrations"], SHOT_PAIRS)


def items(bank: Mapping[str, Any], split: str) -> Items:
    """The test asks six pairs of every set; training uses every ordered pair of sentences."""
    every = [f"{one} {two}" for one, two in product(WORDINGS, WORDINGS) if one != two]
    return _items(bank[split], TEST_PAIRS if split == "test" else every)


def _items(sets: Mapping[str, Mapping[str, list[str]]], pairs: Iterator[str] | tuple[str, ...] | list[str]) -> Items:
    """Two neighbouring pairs of each set at a time: a short prefix is balanced and has many sets."""
    chosen = list(pairs)
    for begin in range(0, len(chosen), 2):
        for name, meanings in sets.items():
            for pair in chosen[begin : begin + 2]:
                one, two = pair.split()
                yield (
                    f"{name}-{one}{two}",
                    {"sentence1": _sentence(meanings, one), "sentence2": _sentence(meanings, two)},
                    "same" if one[0] == two[0] else "different",
                )


def _sentence(meanings: Mapping[str, list[str]], place: str) -> str:
    return meanings[place[0]][int(place[1]) - 1]
