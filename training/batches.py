"""Pairs -> token rows -> batches of like length, in an order fixed by the seed."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int

from ..errors import DataError
from ..tasks import Pair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SORTED_TOGETHER = 16  # steps' worth of pairs that are sorted by length together


@dataclass(frozen=True)
class Row:
    """One pair as tokens: `ids[:answer]` is the question and the instruction, the rest is to be predicted."""

    ids: tuple[int, ...]
    answer: int


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right; with causal attention the padding needs no mask."""

    ids: Int[torch.Tensor, "row token"]
    places: Int[torch.Tensor, "prediction 2"]  # (row, token) whose state predicts an answer token
    targets: Int[torch.Tensor, "prediction"]


def encode_pairs(tokenizer: "PreTrainedTokenizerBase", pairs: Sequence[Pair], context_length: int | None) -> list[Row]:
    """Tokenise pairs. Question and output are tokenised apart, so that the boundary is where generation begins."""
    rows = []
    for pair in pairs:
        question = tokenizer(pair.question + pair.instruction)["input_ids"]
        output = tokenizer(pair.output, add_special_tokens=False)["input_ids"]
        if not output or not pair.question.strip():
            raise DataError(f"Pair {pair.id!r} ({pair.source}-{pair.target}) has an empty question or output.")
        if context_length is not None and len(question) + len(output) > context_length:
            raise DataError(
                f"Pair {pair.id!r} ({pair.source}-{pair.target}) has {len(question) + len(output)} tokens, more "
                f"than the model's context of {context_length}."
            )
        rows.append(Row((*question, *output), len(question)))
    return rows


def steps(rows: Sequence[Row], size: int, seed: int) -> Iterator[list[Row]]:
    """One epoch: every row once, `size` rows a step, rows of like length together, steps in random order."""
    rng = random.Random(seed)
    shuffled = rng.sample(rows, len(rows))
    groups = [
        sorted(shuffled[i : i + size * SORTED_TOGETHER], key=lambda row: len(row.ids))
        for i in range(0, len(shuffled), size * SORTED_TOGETHER)
    ]
    together = [group[i : i + size] for group in groups for i in range(0, len(group), size)]
    rng.shuffle(together)
    yield from together


def batches(rows: Sequence[Row], token_budget: int) -> Iterator[Batch]:
    """Split one step's rows, so that no batch pads to more than `token_budget` tokens."""
    chosen: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids), reverse=True):
        if chosen and (len(chosen) + 1) * len(chosen[0].ids) > token_budget:
            yield _pad(chosen)
            chosen = []
        chosen.append(row)
    if chosen:
        yield _pad(chosen)


def _pad(rows: Sequence[Row]) -> Batch:
    ids = torch.zeros(len(rows), max(len(row.ids) for row in rows), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
    places = [(i, token - 1) for i, row in enumerate(rows) for token in range(row.answer, len(row.ids))]
    targets = [token for row in rows for token in row.ids[row.answer :]]
    return Batch(ids, torch.tensor(places), torch.tensor(targets))
