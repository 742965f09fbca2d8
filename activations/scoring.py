"""Scores of answer words, from the final states that a forward pass left for them.

They are scored once all batches have run: the unembedding is by far the largest matrix of a small model, and to go
through it for a few rows costs nearly as much as for many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float

from ..models import Model


@dataclass(frozen=True)
class Words:
    """The answer words as tokens: each one's sequence, and every token that begins it."""

    sequences: list[tuple[int, ...]]
    beginnings: list[list[int]]

    @cached_property
    def long(self) -> tuple[int, ...]:
        """Labels of more than one token."""
        return tuple(k for k, sequence in enumerate(self.sequences) if len(sequence) > 1)

    @property
    def carried(self) -> int | None:
        """The label that rides in the row whose states are kept."""
        return self.long[0] if self.long else None


@dataclass(frozen=True)
class Vote:
    """A token that counts towards a label's score of an example."""

    example: int
    label: int
    token: int
    begins: bool = False  # whether as one of the beginnings of the word, or as a part of its whole sequence


@dataclass(frozen=True)
class Asked:
    """States after the final norm, [state, d_model], and the tokens whose probability is wanted of them."""

    states: Float[torch.Tensor, "state d_model"]
    votes: list[tuple[int, Vote]]  # number of the state, and what it is asked


def word_scores(
    model: Model, asked: Sequence[Asked], n_examples: int, n_labels: int
) -> tuple[Float[torch.Tensor, "example label"], Float[torch.Tensor, "example label"]]:
    """Natural log-probabilities on the CPU: of whole words, and of the next token being any beginning of the word."""
    states, votes, held = [], [], 0
    for one in asked:
        states += [held + state for state, _ in one.votes]
        votes += [vote for _, vote in one.votes]
        held += len(one.states)
    tokens = torch.tensor([vote.token for vote in votes])
    examples = torch.tensor([vote.example for vote in votes])
    labels = torch.tensor([vote.label for vote in votes])
    begins = torch.tensor([vote.begins for vote in votes])
    found = model.token_log_probabilities(torch.cat([one.states for one in asked]), torch.tensor(states), tokens).cpu()
    whole, beginnings = (torch.zeros(n_examples, n_labels) for _ in range(2))
    whole.index_put_((examples[~begins], labels[~begins]), found[~begins], accumulate=True)
    # Every beginning of a word is at hand at once, so their probabilities can be summed in place.
    beginnings.index_put_((examples[begins], labels[begins]), found[begins].exp(), accumulate=True)
    return whole, beginnings.clamp_min(1e-30).log()
